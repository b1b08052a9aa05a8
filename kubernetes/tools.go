// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools keeps in go.mod what is built here: go mod tidy drops a module that nothing imports.
package tools

import _ "k8s.io/kubernetes/cmd/kubelet"
