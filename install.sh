#!/usr/bin/env bash
# Builds docker orch and installs it as a plugin of the Docker CLI. `./install.sh --help` lists the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
Builds docker orch and installs it as a plugin of the Docker CLI.

  ./install.sh                 for you, into ~/.docker/cli-plugins (or $DOCKER_CONFIG/cli-plugins)
  ./install.sh --system        for everybody, into /usr/local/lib/docker/cli-plugins
  ./install.sh --demo          install, start the quickstart for real, show it, take it down again
  ./install.sh --demo --keep   the same, but leave it running
  ./install.sh --with-engine   install; where no Docker Engine answers, install and start one first (Debian, Ubuntu)
  ./install.sh --only-engine   only that: install and start a Docker Engine where none answers
  ./install.sh --only-tools    only what is missing to build: a C compiler, Rust
  ./install.sh --uninstall     remove the plugin again (with --system: the one installed for everybody)

What is missing to build it (a C compiler, Rust through rustup) is installed first; each step says what it does.
TEXT
}

say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'install.sh: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo: $*" "Run it as root, then run install.sh again."
  fi
}

apt_updated=
apt_install() {
  say "installing with apt-get: $*"
  if [[ -z $apt_updated ]]; then
    as_root apt-get update -qq
    apt_updated=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
apt_knows() { [[ -n $(apt-cache search --names-only "^$1\$" 2>/dev/null) ]]; }

# ---- the engine

engine_answers() { have docker && timeout 20 docker version --format '{{.Server.APIVersion}}' >/dev/null 2>&1; }

start_daemon() {
  if [[ -d /run/systemd/system ]]; then
    say "starting the Docker Engine: systemctl enable --now docker"
    as_root systemctl enable --now docker >/dev/null 2>&1 && return
  fi
  say "starting the Docker Engine: dockerd, its log in /var/log/dockerd.log"
  as_root sh -c 'rm -f /var/run/docker.pid; setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &'
}

need_engine() {
  engine_answers && return
  if [[ -n ${DOCKER_HOST:-} ]]; then
    die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST" "Start it, or unset DOCKER_HOST to use this machine's own."
  fi
  if [[ -S /var/run/docker.sock && ! -w /var/run/docker.sock ]]; then
    die "you may not use this machine's Docker Engine" \
      "Join its group, then log in again:  sudo usermod -aG docker $(id -un)"
  fi
  have apt-get || die "no Docker Engine answers, and this is neither Debian nor Ubuntu" \
    "Install and start Docker (https://docs.docker.com/engine/install/), then run install.sh again."
  say "no Docker Engine answers: installing and starting one on this machine"
  have dockerd || apt_install docker.io iptables ca-certificates
  have docker || apt_install docker-cli
  if ! docker buildx version >/dev/null 2>&1 && apt_knows docker-buildx; then
    apt_install docker-buildx
  fi
  start_daemon
  for _ in $(seq 60); do
    engine_answers && break
    sleep 0.5
  done
  if ! engine_answers && [[ -S /var/run/docker.sock && ! -w /var/run/docker.sock ]]; then
    as_root usermod -aG docker "$(id -un)"
    die "the Docker Engine runs, and you were added to its group" "Log in again, then run install.sh again."
  fi
  if ! engine_answers; then
    as_root tail -n 5 /var/log/dockerd.log 2>/dev/null >&2 || true
    die "the Docker Engine did not start" "Its log says why: journalctl -u docker, or /var/log/dockerd.log"
  fi
  say "Docker Engine $(docker version --format '{{.Server.Version}}') answers"
}

advise_engine() {
  engine_answers && return
  if [[ -S /var/run/docker.sock && ! -w /var/run/docker.sock ]]; then
    say "you may not use this machine's Docker Engine yet: sudo usermod -aG docker $(id -un), then log in again"
  elif have apt-get; then
    say "no Docker Engine answers: './install.sh --with-engine' installs and starts one"
  else
    say "no Docker Engine answers: see https://docs.docker.com/engine/install/"
  fi
}

# ---- building

# Whether version $1 is at least version $2.
at_least() { [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

rust_is_new_enough() {
  local found
  have cargo && have rustc || return 1
  found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
  [[ -n $found ]] && at_least "$found" "$(wanted_rust)"
}

need_rust() {
  local wanted installer
  wanted=$(wanted_rust)
  if ! have cc; then
    have apt-get || die "a C compiler is needed to build" "Install one (gcc or clang), then run install.sh again."
    apt_install gcc libc6-dev
  fi
  export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
  rust_is_new_enough && return
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  rust_is_new_enough && return
  if have rustup; then
    say "installing Rust $wanted beside the one that is there: rustup toolchain install $wanted"
    rustup toolchain install "$wanted" --profile minimal >&2 \
      || die "rustup could not install Rust $wanted" "Check the network, then run install.sh again."
    export RUSTUP_TOOLCHAIN=$wanted
  else
    if ! have curl && have apt-get; then apt_install curl ca-certificates; fi
    have curl || die "Rust is missing, and so is curl to install it" "Install Rust (https://rustup.rs), then run install.sh again."
    say "installing Rust $wanted for you, through rustup, into ${CARGO_HOME:-$HOME/.cargo}"
    installer=$(mktemp)
    if ! { curl --proto '=https' --tlsv1.2 -sSf https://static.rust-lang.org/rustup/rustup-init.sh -o "$installer" \
      && sh "$installer" -y --profile minimal --default-toolchain "$wanted" --no-modify-path -q >/dev/null; }; then
      die "Rust could not be installed through rustup" "Install Rust (https://rustup.rs), then run install.sh again."
    fi
    rm -f "$installer"
  fi
  rust_is_new_enough || die "this needs Rust $wanted or later" "Install it (https://rustup.rs), then run install.sh again."
}

build() {
  need_rust
  say "building docker orch (the first time takes a few minutes)"
  cargo build --release --locked --bin docker-orch >&2
}

# ---- installing

plugins() {
  if [[ -n $system ]]; then
    echo /usr/local/lib/docker/cli-plugins
  else
    echo "${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
  fi
}

manuals() {
  if [[ -n $system ]]; then
    echo /usr/local/share/man/man1
  else
    echo "${XDG_DATA_HOME:-$HOME/.local/share}/man/man1"
  fi
}

# Runs as root only where the folder asks for it.
placing() { if [[ -n $system ]]; then as_root "$@"; else "$@"; fi; }

install_plugin() {
  build
  local folder
  folder=$(plugins)
  placing mkdir -p "$folder"
  # A new file under a new name, then renamed: a plugin that runs at this moment is not disturbed.
  placing install -m 0755 "${CARGO_TARGET_DIR:-target}/release/docker-orch" "$folder/.docker-orch.new"
  placing mv -f "$folder/.docker-orch.new" "$folder/docker-orch"
  say "installed $folder/docker-orch"
  if have man; then
    placing "$folder/docker-orch" man "$(manuals)"
    say "installed manual pages in $(manuals): man docker-orch, man docker-orch-up, …"
  fi
  if ! have docker; then
    say "the docker command itself is missing: without it, call $folder/docker-orch"
  elif docker orch version >/dev/null 2>&1; then
    say "try it: docker orch --help"
  else
    die "docker does not find its new plugin in $folder" "Docker CLI 19.03 or later is needed; 'docker info' lists plugins and what is wrong with them."
  fi
}

uninstall() {
  local plugin
  plugin=$(plugins)/docker-orch
  [[ -e $plugin ]] || die "there is no $plugin" "Was it installed with --system, or with another DOCKER_CONFIG?"
  placing rm -f "$plugin" "$(manuals)"/docker-orch.1 "$(manuals)"/docker-orch-*.1
  say "removed $plugin, and its manual pages"
}

# ---- the demo

demo() {
  have docker || die "the docker command is missing" "Install it, then run install.sh --demo again."
  local file=compose-examples/quickstart/compose.yaml began ended
  say "building the example image: nothing is pulled"
  compose-examples/service/build.sh --image
  say "docker orch -f $file up -d"
  began=${EPOCHREALTIME/./}
  docker orch -f "$file" up -d || die "the quickstart did not come up" "Take it down with: docker orch -f $file down --volumes"
  ended=${EPOCHREALTIME/./}
  say "docker orch -f $file ps"
  docker orch -f "$file" ps
  local count seconds=$(((ended - began) / 1000))
  count=$(docker ps -aq --filter label=com.docker.compose.project=quickstart | wc -l)
  if [[ -n $keep ]]; then
    say "left running; stop it with: docker orch -f $file down --volumes"
  else
    say "docker orch -f $file down --volumes"
    docker orch -f "$file" down --volumes
  fi
  printf '\nThe quickstart works: %d services came up and were ready in %d.%03d s' "$count" $((seconds / 1000)) $((seconds % 1000))
  if [[ -n $keep ]]; then
    printf '.\nThey are running. Stop them:  docker orch -f %s down --volumes\n' "$file"
  else
    printf ', and were taken down again.\nStart them to stay:  docker orch -f %s up -d\nStop them:           docker orch -f %s down --volumes\n' "$file" "$file"
  fi
}

system='' keep='' action=install engine=''
for argument in "$@"; do
  case $argument in
    --system) system=1 ;;
    --keep) keep=1 ;;
    --with-engine) engine=1 ;;
    --only-engine) action=engine ;;
    --only-tools) action=tools ;;
    --demo) action=demo engine=1 ;;
    --uninstall) action=uninstall ;;
    -h | --help)
      usage
      exit
      ;;
    *) die "unknown option '$argument'" "./install.sh --help lists the options." ;;
  esac
done

case $action in
  engine) need_engine ;;
  tools) need_rust ;;
  uninstall) uninstall ;;
  install | demo)
    if [[ -n $engine ]]; then need_engine; fi
    install_plugin
    if [[ $action == demo ]]; then demo; else advise_engine; fi
    ;;
esac
