#!/usr/bin/env bash
# Builds the image docker-orch-llama:latest: the server of llama.cpp as Debian packages it, without a model. About
# 13 MB are downloaded, by apt from the archive that this machine uses anyway, suite sid, and kept under target/llama.
# An image that is there is left alone; with --refresh it is built anew where Debian has newer packages.
#
# Ends with 77, and says why, where it cannot be built here: no apt, no Debian archive, no network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly image=docker-orch-llama:latest server=llama.cpp-tools libraries=libllama0
label() { docker image inspect --format '{{index .Config.Labels "packages"}}' "$image" 2>/dev/null; }
cannot() {
  printf 'the image %s cannot be built here: %s\n' "$image" "$*" >&2
  exit 77
}

here=$(label) || here=
[[ -n $here && ${1:-} != --refresh ]] && exit 0

for tool in apt-get apt-cache dpkg-deb; do
  command -v "$tool" >/dev/null || cannot "there is no $tool, which fetches and unpacks Debian's packages"
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keys ]] || cannot "there is no $keys, which Debian's package debian-archive-keyring has"

work=${CARGO_TARGET_DIR:-target}/llama
mkdir -p "$work"
work=$(cd "$work" && pwd)
# Tests that run at the same time build it once.
exec 9>"$work/.lock"
if command -v flock >/dev/null; then flock 9; fi
here=$(label) || here=
[[ -n $here && ${1:-} != --refresh ]] && exit 0

# shellcheck disable=SC2016  # apt fills these in
archive() { apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1; }
uri=$(archive)
if [[ -z $uri && $(id -u) -eq 0 ]]; then
  apt-get update -qq || cannot 'apt-get update failed'
  uri=$(archive)
fi
[[ -n $uri ]] || cannot "apt knows no Debian archive: run apt-get update first"

# An apt with lists of its own: nothing of the machine's is changed, and as far as it knows nothing is installed.
arch=$(docker version --format '{{.Server.Arch}}')
mkdir -p "$work"/{lists/partial,archives/partial,debs/"$arch"}
: >"$work/status"
printf 'deb [arch=%s signed-by=%s] %s sid main\n' "$arch" "$keys" "$uri" >"$work/sources.list"
cat >"$work/apt.conf" <<END
APT::Architecture "$arch"; APT::Architectures { "$arch"; }; APT::Sandbox::User "root"; APT::Install-Recommends "false";
Acquire::Languages "none"; Acquire::Retries "3"; Acquire::http::Timeout "30";
Dir::Etc::SourceList "$work/sources.list"; Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/lists"; Dir::State::Status "$work/status"; Dir::Cache "$work";
END
export APT_CONFIG=$work/apt.conf
apt-get update -qq -o APT::Update::Error-Mode=any || cannot "Debian's suite sid cannot be read from $uri"

# The server's own dependencies are for settings that are asked for at an installation.
names=$(apt-get -s install "$libraries" | sed -n 's/^Inst \([^ ]*\).*/\1/p')
versions=$(for name in $server $names; do
  apt-cache show --no-all-versions "$name" | sed -n 's/^Version: //p' | sed "s/^/$name=/"
done | sort | paste -sd ' ')
if [[ $versions == "$here" ]]; then
  echo "$image has Debian's newest packages"
  exit 0
fi

cd "$work/debs/$arch"
# shellcheck disable=SC2086  # words
apt-get download -qq $versions || cannot "packages cannot be fetched from $uri"
root=$work/root
rm -rf "$root"
mkdir -p "$root"
for package in $versions; do
  file=$(printf '%s_%s_' "${package%%=*}" "${package#*=}" | sed 's/:/%3a/g')
  dpkg-deb --extract "$file"*.deb "$root"
done
cd "$root"
find usr/bin -type f ! -name llama-server -delete
rm -rf etc usr/share usr/libexec usr/sbin var usr/lib/systemd usr/lib/*/gconv
for folder in usr/lib*; do [[ -e ${folder#usr/} ]] || ln -s "$folder" "${folder#usr/}"; done
mkdir -p tmp models

tar --owner=0 --group=0 --numeric-owner -c . | docker import \
  --change 'ENTRYPOINT ["/usr/bin/llama-server"]' \
  --change 'ENV LLAMA_ARG_HOST=0.0.0.0' \
  --change "LABEL packages=\"$versions\"" \
  - "$image" >/dev/null
rm -rf "$root"
echo "built $image: $versions"
