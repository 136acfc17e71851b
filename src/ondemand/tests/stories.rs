//! Single stories, told to the end.

use std::collections::BTreeMap;

use super::*;

/// A machine with one GPU, and what it said so far.
struct Stage {
    machine: Machine,
    now: f64,
    said: Vec<Effect>,
}

impl Stage {
    fn new(total: u64, specs: impl IntoIterator<Item = ServiceSpec>) -> Self {
        let mut stage = Self { machine: Machine::new(), now: 0.0, said: Vec::new() };
        for (number, spec) in (0..).zip(specs) {
            stage.put(declared(number, spec));
        }
        stage.put(device(0, memory(total, total)));
        stage
    }

    fn put(&mut self, input: Input) -> Vec<Effect> {
        let said = self.machine.step(at(self.now), input);
        self.said.extend(said.clone());
        said
    }

    fn after(&mut self, seconds: f64, input: Input) -> Vec<Effect> {
        self.now += seconds;
        self.put(input)
    }

    /// The load that was ordered last is over.
    fn loads(&mut self, seconds: f64) -> Vec<Effect> {
        let order = self.said.iter().rev().find_map(|effect| match effect {
            Effect::Load { service, load, .. } => Some((*service, *load)),
            _ => None,
        });
        let (service, load) = order.unwrap();
        self.after(seconds, Input::Loaded { service, load })
    }

    /// What is being unloaded is gone, and so much is free then.
    fn unloads(&mut self, service: u32, free: u64) {
        self.after(1.0, Input::Unloaded { service: ServiceId(service) });
        let total = self.machine.devices()[0].total / GIB;
        self.after(0.3, device(0, memory(total, free)));
    }

    fn state(&self, service: u32) -> State {
        self.machine.service(ServiceId(service)).unwrap().state
    }

    fn why(&self, service: u32) -> String {
        self.machine.why(ServiceId(service)).unwrap().now
    }

    /// Why a service that is not loaded any more is not.
    fn went(&self, service: u32) -> String {
        let past = self.machine.why(ServiceId(service)).unwrap().past;
        past.into_iter().find(|(_, change, _)| *change == Change::Cold).unwrap().2
    }
}

fn served(effects: &[Effect]) -> Vec<u64> {
    let of = |effect: &Effect| match effect {
        Effect::Serve { request, .. } => Some(request.0),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

fn refused(effects: &[Effect]) -> Vec<(u64, String)> {
    let of = |effect: &Effect| match effect {
        Effect::Refuse { request, refusal } => Some((request.0, refusal.to_string())),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

fn ended(request: u64) -> Input {
    Input::Ended { request: RequestId(request) }
}

#[test]
fn the_first_request_loads_and_everybody_is_served_in_order() {
    let mut stage = Stage::new(24, [spec("p/a", 20)]);
    stage.put(asked(1, 0));
    stage.put(asked(2, 0));
    assert_eq!(stage.state(0), State::Loading);
    assert_eq!(served(&stage.loads(30.0)), [1, 2]);
    assert_eq!(served(&stage.put(asked(3, 0))), [3]);
    let status = stage.machine.service(ServiceId(0)).unwrap();
    assert_eq!((status.in_flight, status.last_load), (3, Some(Duration::from_secs(30))));
}

#[test]
fn who_is_idle_makes_room_and_who_asks_for_it_meanwhile_queues_behind() {
    let mut stage = Stage::new(24, [spec("p/a", 20), spec("p/b", 10)]);
    stage.put(asked(1, 0));
    stage.loads(10.0);
    stage.after(10.0, device(0, memory(24, 4)));
    stage.put(asked(2, 1));
    assert_eq!(stage.state(1), State::Waiting);
    assert_eq!(stage.why(1), "it needs 10 GiB on a GPU, and GPU-0 lacks 6 GiB; p/a is answering 1 request");
    stage.put(ended(1));
    assert_eq!((stage.state(0), stage.why(1).as_str()), (State::Unloading, "p/a: it is being stopped"));
    assert_eq!(served(&stage.put(asked(3, 0))), [0; 0]);
    stage.unloads(0, 24);
    assert_eq!((stage.state(0), stage.state(1)), (State::Waiting, State::Loading));
    assert_eq!(stage.why(0), "it needs 20 GiB on a GPU, and GPU-0 lacks 6 GiB; p/b is loading");
    assert_eq!(served(&stage.loads(5.0)), [2]);
}

#[test]
fn memory_that_others_hold_is_not_given() {
    let mut stage = Stage::new(24, [spec("p/a", 20)]);
    stage.put(device(0, memory(24, 12)));
    stage.put(asked(1, 0));
    assert_eq!(stage.why(0), "it needs 20 GiB on a GPU, and GPU-0 lacks 8 GiB");
    stage.after(5.0, device(0, memory(24, 22)));
    assert_eq!(stage.state(0), State::Loading);
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let mut stage = Stage::new(24, [spec("p/a", 30)]);
    let words = "it needs 30 GiB on a GPU, and no more than 24 GiB may ever be taken";
    assert_eq!(refused(&stage.put(asked(1, 0))), [(1, words.to_owned())]);
    assert_eq!(stage.state(0), State::Blocked);
    stage.put(device(1, memory(48, 48)));
    stage.put(asked(2, 0));
    assert_eq!(stage.state(0), State::Loading);
}

#[test]
fn the_next_load_waits_until_memory_is_back() {
    let mut stage = Stage::new(24, [spec("p/a", 20), spec("p/b", 10)]);
    stage.put(asked(1, 0));
    stage.loads(1.0);
    stage.after(1.0, device(0, memory(24, 4)));
    stage.after(10.0, ended(1));
    stage.put(asked(2, 1));
    stage.after(1.0, Input::Unloaded { service: ServiceId(0) });
    stage.after(1.0, device(0, memory(24, 18)));
    assert_eq!((stage.state(0), stage.state(1)), (State::Settling, State::Waiting));
    assert_eq!(stage.why(1), "p/a: it is stopped, and its memory is waited for");
    stage.after(1.0, device(0, memory(24, 19)));
    assert_eq!(stage.state(1), State::Loading);
}

#[test]
fn memory_that_never_comes_back_is_measured_once_more() {
    let mut stage = Stage::new(24, [spec("p/a", 20), spec("p/b", 10)]);
    stage.put(asked(1, 0));
    stage.loads(1.0);
    stage.after(1.0, device(0, memory(24, 4)));
    stage.after(10.0, ended(1));
    stage.put(asked(2, 1));
    stage.after(1.0, Input::Unloaded { service: ServiceId(0) });
    let said = stage.after(15.0, Input::Tick);
    assert!(said.contains(&Effect::Measure { devices: vec![gpu(0)] }));
    assert_eq!(stage.state(1), State::Waiting);
    stage.after(0.1, device(0, memory(24, 8)));
    assert_eq!((stage.state(0), stage.state(1)), (State::Cold, State::Waiting));
    assert_eq!(stage.why(1), "it needs 10 GiB on a GPU, and GPU-0 lacks 2 GiB");
}

#[test]
fn who_runs_out_of_memory_is_tried_once_more_with_all_the_room_there_is() {
    let mut stage = Stage::new(24, [spec("p/a", 10), spec("p/b", 4)]);
    stage.put(asked(1, 1));
    stage.loads(1.0);
    stage.after(10.0, ended(1));
    stage.after(1.0, device(0, memory(24, 20)));
    stage.put(asked(2, 0));
    let fails =
        |load| Input::LoadFailed { service: ServiceId(0), load: LoadId(load), failure: failure(true) };
    stage.after(5.0, fails(2));
    assert_eq!(stage.state(0), State::Settling);
    stage.after(1.0, device(0, memory(24, 20)));
    assert_eq!((stage.state(0), stage.state(1)), (State::Waiting, State::Unloading));
    stage.unloads(1, 24);
    assert_eq!(stage.state(0), State::Loading);
    let said = stage.after(5.0, fails(3));
    assert_eq!(refused(&said), [(2, "CUDA out of memory".to_owned())]);
    stage.after(1.0, device(0, memory(24, 24)));
    assert_eq!(stage.state(0), State::Failed);
    assert_eq!(refused(&stage.put(asked(3, 0))), [(3, "CUDA out of memory".to_owned())]);
    stage.after(10.0, asked(4, 0));
    assert_eq!(stage.state(0), State::Loading);
}

#[test]
fn a_load_that_hangs_is_killed_and_answers_everybody() {
    let mut stage = Stage::new(24, [spec("p/a", 10)]);
    stage.put(asked(1, 0));
    let stage_name =
        Input::Stage { service: ServiceId(0), load: LoadId(1), stage: "models_loaded".to_owned() };
    stage.after(1.0, stage_name);
    let said = stage.after(120.0, Input::Tick);
    let words = "it was not ready within 2m0s, in stage models_loaded";
    assert_eq!(refused(&said), [(1, words.to_owned())]);
    assert!(said.contains(&Effect::Unload { service: ServiceId(0), force: true }));
}

#[test]
fn a_load_that_nobody_waits_for_is_finished_or_given_up() {
    for (abandon, expected) in [(Abandon::Finish, State::Loading), (Abandon::Cancel, State::Unloading)] {
        let mut stage = Stage::new(24, [ServiceSpec { abandon, ..spec("p/a", 10) }]);
        stage.put(asked(1, 0));
        stage.after(1.0, ended(1));
        assert_eq!(stage.state(0), expected);
    }
}

#[test]
fn idle_time_starts_at_the_last_byte_of_the_last_connection() {
    let stop_after = Some(Duration::from_mins(1));
    let mut stage = Stage::new(24, [ServiceSpec { stop_after, ..spec("p/a", 10) }]);
    stage.put(asked(1, 0));
    stage.loads(1.0);
    stage.after(300.0, asked(2, 0));
    stage.after(1.0, ended(1));
    stage.after(100.0, Input::Tick);
    assert_eq!(stage.state(0), State::Busy);
    stage.put(ended(2));
    assert_eq!(stage.machine.next_deadline(), Some(at(stage.now + 60.0)));
    stage.after(60.0, Input::Tick);
    assert_eq!(stage.state(0), State::Unloading);
}

#[test]
fn what_is_pinned_stays() {
    let stop_after = Some(Duration::from_mins(1));
    let mut stage = Stage::new(24, [ServiceSpec { stop_after, ..spec("p/a", 20) }, spec("p/b", 20)]);
    stage.put(Input::Pin { service: ServiceId(0), pinned: true });
    stage.put(Input::Load { service: ServiceId(0) });
    stage.loads(1.0);
    stage.after(300.0, device(0, memory(24, 4)));
    stage.put(asked(1, 1));
    assert_eq!(stage.why(1), "it needs 20 GiB on a GPU, and GPU-0 lacks 16 GiB; p/a is pinned");
    stage.put(Input::Pin { service: ServiceId(0), pinned: false });
    assert_eq!(stage.state(0), State::Unloading);
}

#[test]
fn two_gpus_are_taken_together() {
    let pair = ServiceSpec { devices: Wanted::Any(2), ..spec("p/a", 20) };
    let mut stage = Stage::new(24, [pair, spec("p/b", 10)]);
    stage.put(device(1, memory(24, 24)));
    stage.put(asked(1, 1));
    stage.put(asked(2, 0));
    assert_eq!((stage.state(0), stage.state(1)), (State::Waiting, State::Loading));
    stage.loads(1.0);
    stage.after(10.0, device(0, memory(24, 14)));
    stage.put(ended(1));
    assert_eq!(stage.state(1), State::Unloading);
    stage.unloads(1, 24);
    let both = vec![gpu(0), gpu(1)];
    assert!(stage.said.iter().any(|e| matches!(e, Effect::Load { devices, .. } if *devices == both)));
}

/// One service is asked without a pause, so that it is never idle; who waits for its room gets it all the same.
#[test]
fn who_waits_long_enough_is_next_however_busy_others_are() {
    let mut stage = Stage::new(24, [spec("p/a", 20), spec("p/b", 20)]);
    stage.put(asked(1, 0));
    stage.loads(1.0);
    stage.put(device(0, memory(24, 4)));
    stage.put(asked(1_000_000, 1));
    let asked_at = stage.now;
    let mut request = 1;
    while stage.state(0) == State::Busy {
        stage.after(1.0, asked(request + 1, 0));
        stage.put(ended(request));
        request += 1;
        assert!(stage.now < 60.0, "{}", stage.why(1));
    }
    assert_eq!(stage.state(0), State::Draining);
    assert!(stage.why(1).starts_with("p/a: it makes room for p/b"), "{}", stage.why(1));
    assert!((30.0..32.0).contains(&(stage.now - asked_at)), "patience is half a minute");
    stage.put(ended(request));
    // The last request came in before it was drained, or queues behind.
    stage.put(ended(request + 1));
    stage.unloads(0, 24);
    assert_eq!(served(&stage.loads(1.0)), [1_000_000]);
}

/// What answers without end is not waited for without end, and goes on.
#[test]
fn who_answers_for_too_long_goes_on() {
    let mut stage = Stage::new(24, [spec("p/a", 20), spec("p/b", 20)]);
    stage.put(asked(1, 0));
    stage.loads(1.0);
    stage.put(asked(2, 1));
    stage.after(30.0, Input::Tick);
    assert_eq!(stage.state(0), State::Draining);
    stage.put(asked(3, 0));
    let said = stage.after(60.0, Input::Tick);
    assert_eq!((stage.state(0), served(&said)), (State::Busy, vec![3]));
    stage.after(30.0, Input::Tick);
    assert_eq!(stage.state(0), State::Draining);
}

#[test]
fn a_new_machine_goes_on_with_what_runs() {
    let mut stage = Stage::new(24, [spec("p/a", 10), spec("p/b", 10)]);
    let found = |service, ready| Input::Found { service: ServiceId(service), devices: vec![gpu(0)], ready };
    stage.put(found(0, true));
    let said = stage.put(found(1, false));
    assert!(matches!(said.last(), Some(Effect::Load { adopt: true, .. })));
    stage.put(Input::Serving { request: RequestId(7), service: ServiceId(0) });
    assert_eq!((stage.state(0), stage.state(1)), (State::Busy, State::Loading));
    assert_eq!(stage.machine.devices()[0].available, 4 * GIB);
    assert_eq!(served(&stage.put(asked(8, 0))), [8]);
    stage.put(asked(9, 1));
    assert_eq!(served(&stage.loads(1.0)), [9]);
}

/// 1,000 requests over five models, of which two fit: all are served, in order for each model, with few swaps.
#[test]
fn a_thousand_requests_over_five_models_with_room_for_two() {
    const REQUESTS: u64 = 1000;
    let mut stage = Stage::new(24, (0..5).map(|n| spec(&format!("p/m{n}"), 11)));
    let mut due: BTreeMap<(u64, u64), Input> = BTreeMap::new();
    let mut number = 0;
    for request in 0..REQUESTS {
        // Bursts for one model after the other, and strays for the others.
        let model = if request % 7 == 0 { request % 5 } else { (request / 40) % 5 };
        due.insert((request * 400, request), asked(request, u32::try_from(model).unwrap()));
    }
    let (mut order, mut loads, mut held): (BTreeMap<u32, Vec<u64>>, u32, BTreeMap<u32, u64>) =
        Default::default();
    let mut most = 0;
    loop {
        let next = due.keys().next().map(|(at, _)| *at);
        let deadline =
            stage.machine.next_deadline().map(|at| u64::try_from(at.since_start().as_millis()).unwrap() + 1);
        let Some(now) = next.into_iter().chain(deadline).min() else { break };
        let input = if next == Some(now) { due.pop_first().unwrap().1 } else { Input::Tick };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let seconds = now as f64 / 1000.0;
        stage.now = seconds;
        let mut then = |pause: u64, input: Input| {
            number += 1;
            due.insert((now + pause, REQUESTS + number), input);
        };
        for effect in stage.put(input) {
            match effect {
                Effect::Serve { request, service } => {
                    order.entry(service.0).or_default().push(request.0);
                    then(300, ended(request.0));
                }
                Effect::Load { service, load, .. } => {
                    loads += 1;
                    held.insert(service.0, 11);
                    then(3000, Input::Loaded { service, load });
                }
                Effect::Unload { service, .. } => {
                    held.remove(&service.0);
                    then(500, Input::Unloaded { service });
                }
                Effect::Measure { .. } => then(20, device(0, memory(24, 24 - held.values().sum::<u64>()))),
                Effect::Refuse { request, refusal } => panic!("{request:?}: {refusal}"),
                Effect::Tell(_) => {}
            }
        }
        let loaded =
            stage.machine.status().iter().filter(|s| matches!(s.state, State::Ready | State::Busy)).count();
        most = most.max(loaded);
    }
    assert_eq!(order.values().map(Vec::len).sum::<usize>(), 1000);
    assert!(order.values().all(|of_one| of_one.is_sorted()), "first come, first served");
    assert_eq!(most, 2);
    assert!((10..150).contains(&loads), "{loads} loads");
}

#[test]
fn memory_that_nobody_tells_any_more_has_its_time_to_come_back() {
    let mut stage = Stage::new(24, [spec("p/a", 20)]);
    stage.put(asked(1, 0));
    stage.loads(10.0);
    stage.put(ended(1));
    stage.put(Input::Unload { service: ServiceId(0), force: false });
    stage.after(1.0, Input::Unloaded { service: ServiceId(0) });
    stage.after(15.0, Input::Tick);
    assert_eq!(stage.state(0), State::Settling);
    stage.after(2.0, Input::Tick);
    assert_eq!(stage.went(0), "its memory had 17s to come back, which nobody can measure");

    // So has that of the next one, until the device tells again.
    stage.put(asked(2, 0));
    stage.loads(10.0);
    stage.put(ended(2));
    stage.put(Input::Unload { service: ServiceId(0), force: false });
    stage.after(1.0, Input::Unloaded { service: ServiceId(0) });
    assert_eq!(stage.state(0), State::Settling);
}

#[test]
fn memory_that_nobody_can_measure_is_not_waited_for() {
    let mut stage = Stage::new(24, [spec("p/a", 20), spec("p/b", 20)]);
    stage.put(device(0, Some(Memory { total: 24 * GIB, free: None })));
    stage.put(asked(1, 0));
    stage.loads(10.0);
    stage.after(10.0, ended(1));
    stage.put(asked(2, 1));
    assert_eq!(stage.state(0), State::Unloading);
    stage.after(1.0, Input::Unloaded { service: ServiceId(0) });
    assert_eq!((stage.state(0), stage.state(1)), (State::Cold, State::Loading));
    assert_eq!(stage.went(0), "nobody can measure whether its memory is back");
}
