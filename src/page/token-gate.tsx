import { useState } from 'preact/hooks';

/** Asks for the token. */
export function TokenGate({ enter }: { enter: (token: string) => void }) {
  const [token, setToken] = useState('');
  return (
    <main class="gate">
      <form
        onSubmit={event => {
          event.preventDefault();
          enter(token.trim());
        }}
      >
        <h1>
          <img src="icon.svg" alt="" width="28" height="28" />
          Ripstop
        </h1>
        <p id="how">
          On the node, <code>ripstop page</code> prints a link that opens this page, and the token behind its
          #.
        </p>
        <label>
          Token
          <input
            type="password"
            autocomplete="off"
            required
            aria-describedby="how"
            value={token}
            onInput={event => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit">Open</button>
      </form>
    </main>
  );
}
