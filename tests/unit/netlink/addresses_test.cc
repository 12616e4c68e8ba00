// SPDX-License-Identifier: Apache-2.0
#include "netlink/rtnl/addresses.h"

#include "gtest/gtest.h"

#include "netlink/core/uapi.h"

namespace pointsman::nl {
namespace {

TEST(UsableAddressTest, DependsOnDuplicateDetection) {
  EXPECT_TRUE(UsableAddress(0));
  EXPECT_TRUE(UsableAddress(IFA_F_PERMANENT | IFA_F_SECONDARY));
  EXPECT_TRUE(UsableAddress(IFA_F_DEPRECATED)) << "not for new connections, but still there";
  EXPECT_FALSE(UsableAddress(IFA_F_TENTATIVE));
  EXPECT_TRUE(UsableAddress(IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) << "that is what optimistic means";
  EXPECT_FALSE(UsableAddress(IFA_F_PERMANENT | IFA_F_DADFAILED));
  EXPECT_FALSE(UsableAddress(IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED));
}

}  // namespace
}  // namespace pointsman::nl
