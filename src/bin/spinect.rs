//! The program `spinect`: it only starts the command line.

fn main() -> std::process::ExitCode {
    spinect::cli::main()
}
