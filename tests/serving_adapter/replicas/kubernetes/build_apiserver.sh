#!/usr/bin/env bash
# Builds a real Kubernetes API server for the tests, from Debian's source package, into a cache outside the tree.
#
#   tests/serving_adapter/replicas/kubernetes/build_apiserver.sh
#
# It takes about ten minutes on two cores, once, 4 GB of disk meanwhile, and 250 MB in the cache. It installs nothing:
# the compiler and what else the build takes are unpacked beside the source, and go with it. Needs Debian 12 (or what
# has its packages), dpkg-dev and make; no root. Prints the folder last.
set -euo pipefail

version=1.20.2
cache="${XDG_CACHE_HOME:-$HOME/.cache}/inferline/kubernetes-$version"
programs=(kube-apiserver kube-controller-manager etcd)

say() { echo "build_apiserver: $*" >&2; }

is_built() {
    for each in "${programs[@]}"; do
        [ -x "$cache/$each" ] || return 1
    done
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two at once would build twice
if is_built; then
    say "is built already"
    echo "$cache"
    exit
fi
for each in apt-get dpkg-deb dpkg-source make; do
    command -v "$each" >/dev/null || { say "needs $each (Debian: apt-get install dpkg-dev make)"; exit 1; }
done

build=$(mktemp -d "${TMPDIR:-/tmp}/inferline-kubernetes.XXXXXX")
trap 'say "removing $build"; chmod -R u+w "$build"; rm -rf "$build"' EXIT
say "building in $build"

# This machine's own package sources, with their source packages; its lists and its state stay as they are.
mkdir -p "$build"/{sources,lists/partial,apt/archives/partial,debs,tools,go/src/k8s.io}
for each in /etc/apt/sources.list.d/*.sources; do
    [ -f "$each" ] && sed 's/^Types:.*/Types: deb deb-src/' "$each" >"$build/sources/$(basename "$each")"
done
for each in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$each" ] && sed -E '/^deb /{p;s/^deb /deb-src /}' "$each" >"$build/sources/$(basename "$each")"
done
apt=(apt-get -q -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$build/sources"
    -o "Dir::State::lists=$build/lists" -o "Dir::Cache=$build/apt" -o "APT::Sandbox::User=root")
say "reading the lists of packages"
"${apt[@]}" update >"$build/log" 2>&1 || say "not all of them could be read: $(grep -m 1 '^E:' "$build/log")"

packages=(golang-1.19-go golang-1.19-src etcd-server)
command -v rsync >/dev/null || packages+=(rsync libpopt0)
command -v jq >/dev/null || packages+=(jq libjq1 libonig5)
say "downloading ${packages[*]}"
(cd "$build/debs" && "${apt[@]}" download "${packages[@]}" >"$build/log" 2>&1) || { cat "$build/log" >&2; exit 1; }
for each in "$build"/debs/*.deb; do
    dpkg-deb -x "$each" "$build/tools"
done

say "downloading the source of kubernetes"
(cd "$build" && "${apt[@]}" source --download-only kubernetes >"$build/log" 2>&1) || { cat "$build/log" >&2; exit 1; }
dpkg-source -x "$build"/kubernetes_*.dsc "$build/go/src/k8s.io/kubernetes" >"$build/log" 2>&1 ||
    { cat "$build/log" >&2; exit 1; }

cat >"$build/version" <<END
KUBE_GIT_COMMIT=''
KUBE_GIT_TREE_STATE='archive'
KUBE_GIT_VERSION='v$version'
KUBE_GIT_MAJOR='1'
KUBE_GIT_MINOR='20'
END
say "compiling; this is what takes the time"
libraries=$(dirname "$(find "$build/tools" \( -name 'libpopt.so*' -o -name 'libjq.so*' \) -print -quit)")
env -i HOME="$build" PATH="$build/tools/usr/lib/go-1.19/bin:$build/tools/usr/bin:$PATH" \
    LD_LIBRARY_PATH="$libraries" GOROOT="$build/tools/usr/lib/go-1.19" GOPATH="$build/go" GOCACHE="$build/gocache" \
    GO111MODULE=off CGO_ENABLED=0 GOLDFLAGS="-s -w" KUBE_GIT_VERSION_FILE="$build/version" \
    make -C "$build/go/src/k8s.io/kubernetes" WHAT="cmd/kube-apiserver cmd/kube-controller-manager" \
    >"$build/log" 2>&1 || { tail -n 50 "$build/log" >&2; exit 1; }

for each in kube-apiserver kube-controller-manager; do
    install "$(find "$build/go/src/k8s.io/kubernetes/_output" -type f -path '*/bin/*' -name "$each" -print -quit)" "$cache"
done
install "$build/tools/usr/bin/etcd" "$cache"
is_built || { say "the build has left no ${programs[*]}"; exit 1; }
say "done"
echo "$cache"
