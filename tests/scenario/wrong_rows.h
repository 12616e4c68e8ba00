// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/strings/str_cat.h"

namespace pointsman::scenario {

// A case whose rows with id "right" hold and those with id "wrong" do not, each in a way of its own; and `more` rows.
inline std::string RightAndWrongRows(const std::string& more) {
  return absl::StrCat(R"(One Service, and claims about it.
-- bed --
world  W    192.0.2.1     -
node   A    192.0.2.2     -
gateway     203.0.113.1   -
router B    192.0.2.3     -
client X    192.0.2.100   -
pod  P A    203.0.113.11  -
pod  Q B    203.0.113.21  -
pod  R B    203.0.113.22  -
-- settings --
node-name: a
cluster-cidr: 203.0.113.0/24
service-cidr: 198.51.100.0/24
-- cluster.yaml --
apiVersion: v1
kind: Node
metadata: {name: a}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: web}
spec:
  type: NodePort
  clusterIP: 198.51.100.10
  ports: [{port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [203.0.113.11], nodeName: a}, {addresses: [203.0.113.21], nodeName: b}]
---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: empty}
spec:
  clusterIP: 198.51.100.11
  ports: [{port: 80}]
-- rows --
right X -> web/cluster:80             {P,Q} masq
wrong X -> web/cluster:80             {P,Q} kept
wrong X -> web/cluster:80             {P,Q=kept} masq
wrong X -> web/cluster:80             {P} masq
wrong X -> web/cluster:80             {P,Q,R:8080} masq
wrong X -> web/cluster:80             {P,Q:8081} masq
wrong X -> web/cluster:80             drop
wrong X -> web/cluster:80             reject
wrong X -> web/cluster:80             routed
right P -> web/cluster:80             {P=masq,Q=kept}
wrong P -> web/cluster:80             {P,Q} masq
right X -> web/nodeport               {P,Q} masq
wrong X -> web/nodeport               host
right X -> A:30081/tcp                host
wrong X -> A:30081/tcp                drop
wrong X -> A:30081/tcp                reject
right X -> empty/cluster:80           reject
wrong X -> empty/cluster:80           drop
wrong X -> empty/cluster:80           {P:8080} masq
right X -> 198.51.100.99:80/tcp+udp   drop
wrong X -> 198.51.100.99:80/tcp+udp   reject
wrong X -> 198.51.100.99:80/tcp+udp   routed
right X -> 192.0.2.200:80/tcp+udp     routed
wrong X -> 192.0.2.200:80/tcp+udp     drop
wrong X -> 192.0.2.200:80/tcp+udp     reject
)",
                      more, "\n");
}

}  // namespace pointsman::scenario
