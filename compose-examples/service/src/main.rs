//! A small service that does whatever a test or an example needs: it loads slowly, passes stages, degrades, fails,
//! hangs, ignores signals, exits with a code. One program, several names: called as `sh`, `curl`, `wget` and the like it
//! does as much of these as health checks use. It needs nothing but the standard library and runs in an empty image.

mod grpc;
mod http;
mod life;
mod load;
mod options;
mod report;
mod sh;

use std::io::Write;

fn main() {
    let mut args: Vec<String> = std::env::args().collect();
    let name = args.first().and_then(|a| a.rsplit('/').next()).unwrap_or_default().to_owned();
    if !args.is_empty() {
        args.remove(0);
    }
    if name == "service" {
        let code = match args.first().map(String::as_str) {
            Some(word) if !word.starts_with('-') => tool(&args),
            _ => serve(&args),
        };
        std::process::exit(code);
    }
    args.insert(0, name);
    std::process::exit(tool(&args));
}

/// Runs the service until it ends; the answer is its exit code.
fn serve(args: &[String]) -> i32 {
    if args.iter().any(|a| a == "--help") {
        print!("{}", options::HELP);
        return 0;
    }
    match options::Options::parse(args, std::env::vars()) {
        Ok(options) => life::run(options),
        Err(message) => {
            eprintln!("service: {message} (--help lists the flags)");
            2
        }
    }
}

/// Runs one of the small commands; the answer is its exit code.
pub(crate) fn tool(words: &[String]) -> i32 {
    let (name, rest) = words.split_first().map_or(("true", &[] as &[String]), |(n, r)| (n.as_str(), r));
    match name.rsplit('/').next().unwrap_or(name) {
        "service" if rest.first().is_some_and(|w| !w.starts_with('-')) => tool(rest),
        "serve" => serve(rest),
        "service" => serve(rest),
        "sh" => sh::run(rest),
        "probe" | "curl" | "wget" => http::probe(rest),
        "true" | ":" => 0,
        "false" => 1,
        "exit" => rest.first().and_then(|c| c.parse().ok()).unwrap_or(0),
        "echo" => {
            println!("{}", rest.join(" "));
            0
        }
        "env" => {
            let mut vars: Vec<_> = std::env::vars().collect();
            vars.sort();
            for (key, value) in vars {
                println!("{key}={value}");
            }
            0
        }
        "cat" => cat(rest),
        "load" => load::run(rest),
        "sleep" => match rest.first().map(|d| options::duration(d)) {
            Some(Ok(time)) => {
                life::sleep(time);
                0
            }
            _ => {
                eprintln!("sleep: expected a duration, such as 5 or 500ms");
                2
            }
        },
        "connect" => match rest.first().map(|a| http::connect(a, std::time::Duration::from_secs(5))) {
            Some(Ok(_)) => 0,
            Some(Err(error)) => {
                eprintln!("connect: {error}");
                1
            }
            None => 2,
        },
        other => {
            eprintln!("service: no command '{other}'");
            127
        }
    }
}

fn cat(files: &[String]) -> i32 {
    let mut code = 0;
    for file in files {
        match std::fs::read(file) {
            Ok(bytes) => {
                if std::io::stdout().write_all(&bytes).is_err() {
                    return 1;
                }
            }
            Err(error) => {
                eprintln!("cat: {file}: {error}");
                code = 1;
            }
        }
    }
    code
}
