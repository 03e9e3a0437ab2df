// Compiled into the binding: makes TF_CPP_MIN_LOG_LEVEL hold from the first line on.
//
// TensorFlow's library already logs (about oneDNN) while it is being loaded, before it has looked at that variable.
// The binding is linked with -z initfirst, so that this initialiser runs before the library's own; by then the library
// is mapped and relocated, and the level is a constant-initialised atomic that may be set.
#include <cstdlib>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"

namespace {

struct QuietStart {
  QuietStart() {
    const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
    if (level != nullptr && *level >= '0' && *level <= '3') {
      absl::SetMinLogLevel(static_cast<absl::LogSeverityAtLeast>(*level - '0'));
    }
  }
};

QuietStart quiet_start;

}  // namespace
