#pragma once

namespace ripstop {

// "ENOENT" for ENOENT; null for a number that Linux does not use.
const char* ErrnoName(int error);

}  // namespace ripstop
