# SPDX-License-Identifier: Apache-2.0
"""A fake `go`, and the go.mod of the Kubernetes that it downloads."""

from __future__ import annotations

UPSTREAM = """\
module k8s.io/kubernetes

go 1.25.0

godebug default=go1.25

require (
\tgithub.com/blang/semver/v4 v4.0.0
\tk8s.io/api v0.0.0
\tk8s.io/kube-openapi v0.0.0-20250910181357-589584f1c912
\tk8s.io/client-go v0.0.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
)
"""

# "Compiles" a shell script that prints its version; tidies a go.sum; records its calls.
FAKE_GO = """\
#!/bin/bash
PATH=/usr/bin:/bin
here={folder}
echo "$*" >>"$here/calls"
case "$1 $2 $3" in
    version\\ -m*) printf '\\tmod\\tk8s.io/kubernetes\\t%s\\th1:kube=\\n' "$(cat "$here/made-from")" ;;
    version*) cat "$here/version" ;;
    env*) echo '{{}}' ;;
    build*)
        echo "go: downloading x.test/m v1.0.0" >&2
        echo x.test/m >&2
        env | sort >"$here/seen.env"
        cp go.mod "$here/seen.mod"
        while [ "$1" != -o ]; do shift; done
        printf '#!/bin/sh\\necho "%s"\\n' "$(cat "$here/prints")" >"$2"
        chmod 755 "$2"
        [ ! -e "$here/build-fails" ] || exit 1 ;;
    "mod download -json") printf '{{"GoMod": "%s", "Sum": "h1:new="}}' "$here/upstream" ;;
    "mod tidy "*)
        [ ! -e "$here/tidy-fails" ] || exit 1
        echo "tidied go.sum" >go.sum ;;
    "list -m -versions")
        case "$4" in
            golang.org/toolchain)
                echo "$4 v0.0.1-go1.27.1.linux-amd64 v0.0.1-go1.27.1.linux-arm64" ;;
            *) echo "$4 v1.34.9 v1.35.4 v1.35.5 v1.36.0-rc.0" ;;
        esac ;;
    "list -mod=readonly -deps") cat "$here/deps" ;;
esac
"""
