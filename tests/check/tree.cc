// SPDX-License-Identifier: Apache-2.0
#include "tests/check/tree.h"

#include <filesystem>

#include "tests/support/files.h"

namespace pointsman::check {

Tree ReadTree(const std::string& root, const std::vector<std::string>& directories,
              const std::vector<std::string>& endings) {
  namespace fs = std::filesystem;
  Tree tree;
  for (const std::string& directory : directories) {
    for (auto it = fs::recursive_directory_iterator(fs::path(root) / directory); it != fs::end(it); ++it) {
      const std::string path = fs::relative(it->path(), root).string();
      if (it->is_directory() && (path == "build" || path.front() == '.')) it.disable_recursion_pending();
      if (!it->is_regular_file()) continue;
      for (const std::string& ending : endings) {
        if (it->path().extension() == ending) tree[path] = support::ReadFile(it->path().string());
      }
    }
  }
  return tree;
}

void ForEachLine(absl::string_view text, const std::function<void(int, absl::string_view)>& visit) {
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    visit(number, text.substr(0, end));
    text.remove_prefix(end == absl::string_view::npos ? text.size() : end + 1);
  }
}

}  // namespace pointsman::check
