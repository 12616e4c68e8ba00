// SPDX-License-Identifier: Apache-2.0
//
// The archives that `./dev image` has left in build/image/: what they say of themselves, and what runs out of them.
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::deploy {
namespace {

using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

namespace fs = std::filesystem;

#if defined(__aarch64__)
constexpr char kNative[] = "arm64";
#else
constexpr char kNative[] = "amd64";
#endif

std::string Archive(const std::string& arch) { return absl::StrCat(PM_IMAGE_DIR, "/pointsman-", arch, ".tar"); }

class ImageTest : public ::testing::Test {
 protected:
  support::ProcessResult Run(const std::vector<std::string>& command) {
    return support::RunProcess(node_, command, {.timeout = absl::Seconds(120)});
  }
  std::string Output(const std::vector<std::string>& command) {
    const support::ProcessResult result = Run(command);
    EXPECT_EQ(result.exit_code, 0) << command[0] << ": " << result.err;
    return result.out;
  }
  // Unpacks an archive; returns the directory.
  std::string Unpack(const std::string& archive, const std::string& name) {
    const std::string directory = dir_.File(name);
    fs::create_directory(directory);
    EXPECT_TRUE(fs::exists(archive)) << "make it with ./dev image";
    Output({"tar", "--extract", "--no-same-owner", "--file", archive, "--directory", directory});
    return directory;
  }
  // A file that a descriptor names by its digest, after a look at whether it is that.
  std::string Blob(const std::string& layout, const json& descriptor) {
    const std::string digest = descriptor.value("digest", "");
    EXPECT_THAT(digest, StartsWith("sha256:"));
    const std::string path = absl::StrCat(layout, "/blobs/sha256/", digest.substr(7));
    EXPECT_EQ(Output({"sha256sum", path}).substr(0, 64), digest.substr(7));
    EXPECT_EQ(fs::file_size(path), descriptor.value("size", 0U));
    return path;
  }
  json Json(const std::string& path) { return json::parse(support::ReadFile(path)); }

  support::NetNs node_{"node"};
  support::TempDir dir_;
};

struct Platform {
  const char* arch;
  const char* variant;
  int machine;  // of ELF: EM_X86_64, EM_AARCH64
  const char* emulator;
};
std::ostream& operator<<(std::ostream& out, const Platform& platform) { return out << platform.arch; }

constexpr Platform kPlatforms[] = {{"amd64", "", 62, "qemu-x86_64-static"},
                                   {"arm64", "v8", 183, "qemu-aarch64-static"}};

class PlatformTest : public ImageTest, public ::testing::WithParamInterface<Platform> {
 protected:
  // The layer, unpacked.
  std::string Root() {
    const std::string layout = Unpack(Archive(GetParam().arch), "layout");
    const json manifest = Json(Blob(layout, Json(layout + "/index.json")["manifests"][0]));
    return Unpack(Blob(layout, manifest["layers"][0]), "root");
  }
  // The binary of the image with the image's libraries, like a container's.
  support::ProcessResult RunInside(const std::string& root, const std::vector<std::string>& args) {
    std::vector<std::string> command = {"unshare",
                                        "--mount",
                                        "sh",
                                        "-c",
                                        "mount --rbind /proc \"$0/proc\" && exec chroot \"$@\"",
                                        root,
                                        root,
                                        "/usr/local/bin/pointsman"};
    if (std::string(GetParam().arch) != kNative) {
      command = {GetParam().emulator, "-L", root, root + "/usr/local/bin/pointsman"};
    }
    command.insert(command.end(), args.begin(), args.end());
    return Run(command);
  }
};

INSTANTIATE_TEST_SUITE_P(, PlatformTest, ::testing::ValuesIn(kPlatforms),
                         [](const auto& param) { return param.param.arch; });

TEST_P(PlatformTest, IsBothALayoutAndADockerArchive) {
  const std::string layout = Unpack(Archive(GetParam().arch), "layout");
  EXPECT_EQ(Json(layout + "/oci-layout")["imageLayoutVersion"], "1.0.0");
  const json index = Json(layout + "/index.json");
  ASSERT_THAT(index["manifests"], SizeIs(1));
  const json manifest = Json(Blob(layout, index["manifests"][0]));
  const json config = Json(Blob(layout, manifest["config"]));
  EXPECT_EQ(config["os"], "linux");
  EXPECT_EQ(config["architecture"], GetParam().arch);
  EXPECT_EQ(config.value("variant", ""), GetParam().variant);
  EXPECT_EQ(index["manifests"][0]["platform"]["architecture"], GetParam().arch);
  EXPECT_THAT(config["config"]["Entrypoint"], ElementsAre("/usr/local/bin/kube-proxy"));

  ASSERT_THAT(manifest["layers"], SizeIs(1));
  const std::string layer = Blob(layout, manifest["layers"][0]);
  ASSERT_THAT(config["rootfs"]["diff_ids"], SizeIs(1));
  EXPECT_EQ(absl::StrCat("sha256:", Output({"sh", "-c", "gzip -dc \"$0\" | sha256sum", layer}).substr(0, 64)),
            config["rootfs"]["diff_ids"][0]);

  const json docker = Json(layout + "/manifest.json");
  ASSERT_THAT(docker, SizeIs(1));
  EXPECT_EQ(absl::StrCat(layout, "/", docker[0].value("Config", "")), Blob(layout, manifest["config"]));
  ASSERT_THAT(docker[0]["Layers"], SizeIs(1));
  EXPECT_EQ(absl::StrCat(layout, "/", docker[0]["Layers"][0].get<std::string>()), layer);
  EXPECT_THAT(docker[0]["RepoTags"], ElementsAre(absl::StrCat("pointsman:", PM_VERSION)));
}

TEST_P(PlatformTest, HoldsTheBinaryAndWhatItNeedsAlone) {
  const std::string root = Root();
  std::set<std::string> top;
  for (const auto& entry : fs::directory_iterator(root)) top.insert(entry.path().filename().string());
  EXPECT_THAT(top, UnorderedElementsAre("bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr",
                                        "var"));
  EXPECT_EQ(fs::read_symlink(root + "/usr/local/bin/kube-proxy"), "pointsman");
  std::set<std::string> programs;
  for (const auto& entry : fs::directory_iterator(root + "/usr/local/bin")) {
    programs.insert(entry.path().filename().string());
  }
  EXPECT_THAT(programs, UnorderedElementsAre("pointsman", "kube-proxy"));
  EXPECT_TRUE(fs::is_empty(root + "/usr/bin"));
  EXPECT_TRUE(fs::is_empty(root + "/usr/sbin"));

  const std::string binary = support::ReadFile(root + "/usr/local/bin/pointsman");
  ASSERT_GT(binary.size(), 64U);
  EXPECT_EQ(binary.substr(0, 4), "\177ELF");
  EXPECT_EQ(static_cast<unsigned char>(binary[18]) + 256 * static_cast<unsigned char>(binary[19]), GetParam().machine);
  EXPECT_FALSE(absl::StrContains(binary, PM_SOURCE_DIR)) << "the same source elsewhere makes another binary";

  const std::string authorities = support::ReadFile(root + "/etc/ssl/certs/ca-certificates.crt");
  EXPECT_GT(std::vector<std::string>(absl::StrSplit(authorities, "BEGIN CERTIFICATE")).size(), 100U);

  // Each package it is made of has its version there, for scanners, and its licence.
  int packages = 0;
  for (const auto& entry : fs::directory_iterator(root + "/var/lib/dpkg/status.d")) {
    ++packages;
    EXPECT_TRUE(fs::exists(absl::StrCat(root, "/usr/share/doc/", entry.path().filename().string(), "/copyright")))
        << entry.path();
  }
  EXPECT_GT(packages, 20);
}

TEST_P(PlatformTest, SaysWhatTheNodesOwnBinarySays) {
  const std::string root = Root();
  fs::copy(absl::StrCat(PM_SOURCE_DIR, "/examples"), root + "/tmp/examples");
  const bool native = std::string(GetParam().arch) == kNative;
  const std::string manifests = native ? "/tmp/examples" : root + "/tmp/examples";
  const support::ProcessResult dump = RunInside(root, {"dump", "--manifests", manifests});
  EXPECT_EQ(dump.exit_code, 0) << dump.err;
  EXPECT_THAT(dump.out, HasSubstr("10.96.0.80 . tcp . 80"));
  EXPECT_EQ(dump.out, Output({PM_BINARY, "dump", "--manifests", absl::StrCat(PM_SOURCE_DIR, "/examples")}));
}

TEST_P(PlatformTest, IsTheSameWhenItIsPackedAgain) {
  const std::string arch = GetParam().arch;
  const std::string root = Root();
  // Neither the order in which files were made nor their times are to be seen.
  Output({"cp", "--recursive", "--no-dereference", "--preserve=mode,links", root, dir_.File("copy")});
  const std::string time = Output({"stat", "--format=%Y", dir_.File("layout") + "/index.json"});
  Output({absl::StrCat(PM_SOURCE_DIR, "/deploy/image/pack.py"), "image", "--arch", arch, "--root", dir_.File("copy"),
          "--name", "pointsman", "--version", PM_VERSION, "--time", std::string(absl::StripSuffix(time, "\n")), "--out",
          dir_.File("again.tar")});
  EXPECT_EQ(Run({"cmp", Archive(arch), dir_.File("again.tar")}).exit_code, 0);
}

TEST_F(ImageTest, OneArchiveHasThemAll) {
  const std::string layout = Unpack(absl::StrCat(PM_IMAGE_DIR, "/pointsman.tar"), "layout");
  const json outer = Json(layout + "/index.json");
  ASSERT_THAT(outer["manifests"], SizeIs(1));
  const json index = Json(Blob(layout, outer["manifests"][0]));
  std::vector<std::string> platforms;
  for (const json& each : index["manifests"]) {
    const json manifest = Json(Blob(layout, each));
    const json config = Json(Blob(layout, manifest["config"]));
    Blob(layout, manifest["layers"][0]);
    EXPECT_EQ(config["architecture"], each["platform"]["architecture"]);
    platforms.push_back(config["architecture"]);
  }
  EXPECT_THAT(platforms, ElementsAre("amd64", "arm64"));
}

// The image's own files and nothing of the host's, in a namespace of its own.
TEST_F(ImageTest, ProgramsTheKernel) {
  const std::string layout = Unpack(Archive(kNative), "layout");
  const json manifest = Json(Blob(layout, Json(layout + "/index.json")["manifests"][0]));
  const std::string root = Unpack(Blob(layout, manifest["layers"][0]), "root");
  fs::copy(absl::StrCat(PM_SOURCE_DIR, "/examples"), root + "/tmp/examples");
  const support::ProcessResult run =
      Run({"unshare", "--mount", "sh", "-c",
           "mount --rbind /proc \"$0/proc\" && exec chroot \"$0\" /usr/local/bin/pointsman run --once "
           "--manifests /tmp/examples",
           root});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const std::string frontends = Output({"nft", "list", "map", "ip", "pointsman", "frontends"});
  for (const char* element :
       {"10.96.0.80 . tcp . 80 comment \"shop/web:http\"", "10.96.0.10 . udp . 53", "10.96.0.61 . tcp . 8761"}) {
    EXPECT_THAT(frontends, HasSubstr(element));
  }
}

}  // namespace
}  // namespace pointsman::deploy
