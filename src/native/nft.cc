// nftables through the library that the nft program is made of, where it is installed: a run takes a millisecond
// instead of a process. Loaded at run time, so that nothing needs it to start. Cold: the control plane only.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "call.h"
#include "constants.h"
#include "namespace-scope.h"

namespace ripstop {

namespace {

struct Context;

// The functions of libnftables(3) that are used; the interface has been the same since 0.9.
struct Library {
  Context* (*create)(uint32_t flags);
  void (*destroy)(Context*);
  int (*buffer_output)(Context*);
  int (*buffer_error)(Context*);
  const char* (*output)(Context*);
  const char* (*error)(Context*);
  void (*set_output_flags)(Context*, unsigned int flags);
  int (*run)(Context*, const char* commands);
};

constexpr unsigned int kOutputJson = 1u << 4;
constexpr int kKinds = kNftScript + 1;

template <typename Function>
bool Find(void* handle, const char* name, Function* function) {
  void* symbol = dlsym(handle, name);
  memcpy(function, &symbol, sizeof symbol);
  return symbol != nullptr;
}

// The library, or null when it is not installed. It stays loaded.
const Library* Load() {
  static Library library;
  static bool loaded = false;
  // A static variable with an initialiser of this kind would need the C++ runtime library. See owned.h.
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, [] {
    void* handle = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
    loaded = handle != nullptr && Find(handle, "nft_ctx_new", &library.create) &&
           Find(handle, "nft_ctx_free", &library.destroy) &&
           Find(handle, "nft_ctx_buffer_output", &library.buffer_output) &&
           Find(handle, "nft_ctx_buffer_error", &library.buffer_error) &&
           Find(handle, "nft_ctx_get_output_buffer", &library.output) &&
           Find(handle, "nft_ctx_get_error_buffer", &library.error) &&
           Find(handle, "nft_ctx_output_set_flags", &library.set_output_flags) &&
           Find(handle, "nft_run_cmd_from_buffer", &library.run);
  });
  return loaded ? &library : nullptr;
}

Context* Create(const Library* nft, int kind) {
  Context* context = nft->create(0);
  if (context == nullptr) return nullptr;
  nft->buffer_output(context);
  nft->buffer_error(context);
  if (kind != kNftScript) nft->set_output_flags(context, kOutputJson);
  return context;
}

// Contexts of this process's namespace are kept, also when the thread ends: closing the socket of one waits until the
// kernel has freed what its transaction replaced (nft_rcv_nl_event), 5 to 15 ms. There is one per kind, since a listing
// remembers the part of the rules that it has read; a change reads them again, because the one before has moved the
// generation. Contexts of other namespaces are not kept, as an open socket keeps a namespace alive.
thread_local Context* kept[kKinds];

// Keeps signals from the thread while a transaction runs. libnftables waits for the kernel's answers in select(), and takes a
// signal there (SIGCHLD of a process that the agent has started) for a failure although the transaction is complete. A
// repetition would find its elements deleted or made already.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

int Run(const Library* nft, Context* context, const char* commands) {
  SignalsBlocked blocked;
  return nft->run(context, commands);
}

void SetText(napi_env env, napi_value object, const char* name, const char* text) {
  napi_value value;
  napi_create_string_utf8(env, text == nullptr ? "" : text, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, object, name, value);
}

}  // namespace

// nftRun(netns, commands, kind) -> {code, stdout, stderr} as of the nft program, or undefined when libnftables is not
// installed. `commands` are bytes that end in NUL: one transaction, in nft's language or its JSON; `kind` as above.
// Syscalls: setns, socket, sendmsg, recvmsg. Capability: CAP_NET_ADMIN.
napi_value NftRun(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  size_t size;
  const uint8_t* commands = call.Bytes(1, &size);
  const int kind = call.Int(2, kNftListing, kNftScript);
  call.Require(size > 0 && memchr(commands, '\0', size) == commands + size - 1, 1, "bytes that end in their only NUL");
  if (!call.ok()) return nullptr;
  const Library* nft = Load();
  if (nft == nullptr) return call.Undefined();
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  const bool own = path[0] == '\0';
  Context* context = own && kept[kind] != nullptr ? kept[kind] : Create(nft, kind);
  if (context == nullptr) return call.Throw(ENOMEM, "nft_ctx_new");
  const int failed = Run(nft, context, reinterpret_cast<const char*>(commands));
  napi_value result, code;
  napi_create_object(env, &result);
  napi_create_int32(env, failed == 0 ? 0 : 1, &code);
  napi_set_named_property(env, result, "code", code);
  SetText(env, result, "stdout", nft->output(context));
  const char* error = nft->error(context);
  SetText(env, result, "stderr", error);
  // The socket may still hold answers to a failed request, except when a listing found no object of that name.
  const bool absent = kind == kNftListing && error != nullptr && strstr(error, "No such file") != nullptr;
  const bool keep = own && (failed == 0 || absent);
  if (!keep) nft->destroy(context);
  if (own) kept[kind] = keep ? context : nullptr;
  return result;
}

}  // namespace ripstop
