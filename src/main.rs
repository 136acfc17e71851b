//! The `docker-orch` binary.

fn main() -> std::process::ExitCode {
    docker_orch::cli::main()
}
