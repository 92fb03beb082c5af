#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <vector>

#include "cli/commands.h"

namespace allometry::cli {

int ExecBeside(const char* program, int argc, char** argv) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (self.parent_path() / program).string();
  std::vector<char*> arguments = {const_cast<char*>(path.c_str())};
  for (int i = 2; i < argc; ++i) arguments.push_back(argv[i]);
  arguments.push_back(nullptr);
  execv(path.c_str(), arguments.data());
  std::cerr << "allo: cannot start " << path << ": " << std::strerror(errno)
            << ": it is built and installed beside allo\n";
  return kExitFailed;
}

}  // namespace allometry::cli
