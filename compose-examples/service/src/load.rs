//! A load: clients that ask one URL again and again, each time by name and over a new connection, until they are told to
//! stop; then what came of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http;
use crate::life::Signals;

/// What came of all requests.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    /// Failures by what went wrong.
    failed: Mutex<BTreeMap<String, u64>>,
}

/// `load URL [--clients N]`; exit code 1 where a request failed.
pub(crate) fn run(args: &[String]) -> i32 {
    let (Some(url), clients) = (args.first().cloned(), clients(args)) else {
        eprintln!("load: expected a URL");
        return 2;
    };
    let mut signals = Signals::catch();
    let tally = Arc::new(Tally::default());
    for _ in 0..clients {
        let (url, tally) = (url.clone(), Arc::clone(&tally));
        std::thread::spawn(move || {
            loop {
                ask(&url, &tally);
            }
        });
    }
    signals.wait();
    let failed = tally.failed.lock().expect("no client panics while it counts");
    println!("answered {}, failed {}", tally.answered.load(Ordering::SeqCst), failed.values().sum::<u64>());
    for (why, times) in failed.iter() {
        println!("{times} times: {why}");
    }
    i32::from(!failed.is_empty())
}

fn clients(args: &[String]) -> usize {
    let place = args.iter().position(|arg| arg == "--clients");
    place.and_then(|n| args.get(n + 1)).and_then(|n| n.parse().ok()).unwrap_or(1)
}

fn ask(url: &str, tally: &Tally) {
    let why = match http::request(url, "GET", Duration::from_secs(10)) {
        Ok((200, _)) => {
            tally.answered.fetch_add(1, Ordering::SeqCst);
            return;
        }
        Ok((code, body)) => format!("status {code}: {}", body.trim()),
        Err(error) => error.to_string(),
    };
    *tally.failed.lock().expect("no client panics while it counts").entry(why).or_default() += 1;
}
