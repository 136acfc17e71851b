//! Every state with every input.

use insta::assert_snapshot;

use super::*;

const SUBJECT: ServiceId = ServiceId(0);
const LOAD: LoadId = LoadId(1);

fn put(machine: &mut Machine, inputs: impl IntoIterator<Item = Input>) {
    for input in inputs {
        machine.step(at(100.0), input);
    }
}

/// A machine with one GPU of 24 GiB, whose first service is in this state. Request 1 is for it.
fn in_state(state: State) -> Machine {
    let mut machine = Machine::new();
    let need = if state == State::Blocked { 100 } else { 20 };
    put(&mut machine, [declared(0, spec("p/a", need)), declared(1, spec("p/b", 20))]);
    put(&mut machine, [device(0, memory(24, 24))]);
    let loaded = Input::Loaded { service: SUBJECT, load: LOAD };
    let ready =
        [asked(1, 0), loaded.clone(), device(0, memory(24, 4)), Input::Ended { request: RequestId(1) }];
    let unload = Input::Unload { service: SUBJECT, force: false };
    let unload_failed = Input::UnloadFailed { service: SUBJECT, message: "no answer".to_owned() };
    let inputs: Vec<Input> = match state {
        State::Cold => vec![],
        State::Waiting => vec![asked(9, 1), Input::Loaded { service: ServiceId(1), load: LOAD }, asked(1, 0)],
        State::Loading | State::Blocked => vec![asked(1, 0)],
        State::Ready => ready.to_vec(),
        State::Busy => ready[..3].to_vec(),
        State::Draining => [&ready[..3], &[unload]].concat(),
        State::Unloading => [&ready[..], &[unload]].concat(),
        State::Settling => [&ready[..], &[unload, Input::Unloaded { service: SUBJECT }]].concat(),
        State::Failed => {
            let failed = Input::LoadFailed { service: SUBJECT, load: LOAD, failure: failure(false) };
            vec![asked(1, 0), failed, device(0, memory(24, 24))]
        }
        State::Stuck => [&ready[..], &[unload, unload_failed.clone(), unload_failed]].concat(),
    };
    put(&mut machine, inputs);
    assert_eq!(machine.service(SUBJECT).unwrap().state, state);
    machine
}

fn inputs() -> Vec<(&'static str, f64, Input)> {
    let service = SUBJECT;
    let ask = |wait| Input::Asked { request: RequestId(2), service, wait };
    let failed = |out_of_memory| Input::LoadFailed { service, load: LOAD, failure: failure(out_of_memory) };
    let found = |ready| Input::Found { service, devices: vec![gpu(0)], ready };
    vec![
        ("asked, held", 0.0, ask(Wait::Held(None))),
        ("asked, come again", 0.0, ask(Wait::ComeAgain)),
        ("asked, only if ready", 0.0, ask(Wait::OnlyIfReady)),
        ("request 1 ended", 0.0, Input::Ended { request: RequestId(1) }),
        ("stage", 0.0, Input::Stage { service, load: LOAD, stage: "up".to_owned() }),
        ("loaded", 0.0, Input::Loaded { service, load: LOAD }),
        ("loaded, another load", 0.0, Input::Loaded { service, load: LoadId(7) }),
        ("load failed", 0.0, failed(false)),
        ("load failed, memory", 0.0, failed(true)),
        ("unloaded", 0.0, Input::Unloaded { service }),
        ("unload failed", 0.0, Input::UnloadFailed { service, message: "no answer".to_owned() }),
        ("found ready", 0.0, found(true)),
        ("found starting", 0.0, found(false)),
        ("serving", 0.0, Input::Serving { request: RequestId(2), service }),
        ("died", 0.0, Input::Died { service, message: "exit code 137".to_owned() }),
        ("load by hand", 0.0, Input::Load { service }),
        ("unload by hand", 0.0, Input::Unload { service, force: false }),
        ("unload by force", 0.0, Input::Unload { service, force: true }),
        ("pinned", 0.0, Input::Pin { service, pinned: true }),
        ("declared smaller", 0.0, declared(0, spec("p/a", 2))),
        ("forgotten", 0.0, Input::Forgotten { service }),
        ("all memory free", 0.0, device(0, memory(24, 24))),
        ("GPU gone", 0.0, device(0, None)),
        ("budget of 1 GiB", 0.0, Input::Gpus(GpuRules { budget: Some(GIB), ..GpuRules::default() })),
        ("5 s later", 5.0, Input::Tick),
        ("1 h later", 3600.0, Input::Tick),
    ]
}

/// What is done for the subject: S served, R refused, L loaded, A adopted, U unloaded, K killed.
fn done(effects: &[Effect]) -> String {
    let letter = |effect: &Effect| match effect {
        Effect::Serve { service, .. } if *service == SUBJECT => Some('S'),
        Effect::Refuse { .. } => Some('R'),
        Effect::Load { service, adopt, .. } if *service == SUBJECT => Some(if *adopt { 'A' } else { 'L' }),
        Effect::Unload { service, force } if *service == SUBJECT => Some(if *force { 'K' } else { 'U' }),
        _ => None,
    };
    effects.iter().filter_map(letter).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "the table is long")]
fn every_input_in_every_state_leads_somewhere() {
    let mut table = String::new();
    for (name, later, input) in inputs() {
        table.push_str(name);
        table.push('\n');
        for state in State::ALL {
            let mut machine = in_state(state);
            let effects = machine.step(at(100.0 + later), input.clone());
            let after = machine.service(SUBJECT).map_or("gone".to_owned(), |s| s.state.to_string());
            let done = done(&effects);
            if after != state.to_string() || !done.is_empty() {
                table.push_str(format!("  {:10} {after:10} {done}", state.to_string()).trim_end());
                table.push('\n');
            }
        }
    }
    assert_snapshot!(table, @r"
asked, held
  cold       loading    L
  ready      busy       S
  busy       busy       S
  failed     failed     R
  blocked    blocked    R
  stuck      stuck      R
asked, come again
  cold       loading    RL
  waiting    waiting    R
  loading    loading    R
  ready      busy       S
  busy       busy       S
  draining   draining   R
  unloading  unloading  R
  settling   settling   R
  failed     failed     R
  blocked    blocked    R
  stuck      stuck      R
asked, only if ready
  cold       cold       R
  waiting    waiting    R
  loading    loading    R
  ready      busy       S
  busy       busy       S
  draining   draining   R
  unloading  unloading  R
  settling   settling   R
  failed     failed     R
  blocked    blocked    R
  stuck      stuck      R
request 1 ended
  waiting    cold
  busy       ready
  draining   unloading  U
stage
loaded
  loading    busy       S
loaded, another load
load failed
  loading    settling   R
load failed, memory
  loading    settling
unloaded
  unloading  settling
  stuck      settling
unload failed
  unloading  unloading  K
found ready
  cold       ready
  waiting    busy       S
  settling   ready
  failed     ready
  blocked    ready
found starting
  cold       loading    A
  waiting    loading    A
  settling   loading    A
  failed     loading    A
  blocked    loading    A
serving
  ready      busy
died
  ready      settling
  busy       settling
  draining   settling
  stuck      settling
load by hand
  cold       loading    L
  draining   busy
  failed     loading    L
unload by hand
  waiting    cold       R
  loading    unloading  KR
  ready      unloading  U
  busy       draining
  failed     cold
  stuck      stuck      K
unload by force
  waiting    cold       R
  loading    unloading  KR
  ready      unloading  K
  busy       unloading  K
  draining   unloading  K
  failed     cold
  stuck      stuck      K
pinned
declared smaller
  waiting    loading    L
  blocked    cold
forgotten
  cold       gone
  waiting    gone       R
  loading    gone       KR
  ready      gone
  busy       gone
  draining   gone
  unloading  gone
  settling   gone
  failed     gone
  blocked    gone
  stuck      gone
all memory free
  settling   cold
GPU gone
  waiting    blocked    R
  settling   cold
budget of 1 GiB
  waiting    blocked    R
5 s later
  failed     cold
  stuck      stuck      K
1 h later
  waiting    cold       R
  loading    unloading  RK
  unloading  unloading  K
  failed     cold
  stuck      stuck      K
");
}
