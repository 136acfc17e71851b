//! docker orch: starts a Compose project as fast as its dependencies allow, knows when each service is really
//! ready, and when something critical fails puts everything back as it was.
//!
//! # Bird's eye
//!
//! ```text
//!  compose files, environment ──► compose ──► Project ──┐
//!                                                       ├──► plan ──► Plan ──► (`docker orch plan` prints it)
//!  Docker ──► engine.observe ──────────────► Observed ──┘               │
//!                                                                       ▼
//!        ┌───────────────────── executor: one loop, one `select!` ─────────────────────┐
//!        │ requests to end · results of steps and probes · Docker's events · deadlines │
//!        │        │ Input                                                              │
//!        │        ▼                                                                    │
//!        │  scheduler.step(now, input) ──► [Effect…]      pure: gates, waves, retries, │
//!        │        ▲                          │             readiness, cancellation     │
//!        │        └──── what came of it ◄────┘ engine · probe · tool                   │
//!        └───────────────────────────────────┼─────────────────────────────────────────┘
//!                                            ▼
//!                   Event{seq, at, kind} ──► journal · report (live, plain, JSON) · `--events` · serve
//! ```
//!
//! A command is a sequence of plans. `up` is one; when it fails, what undoes it is another ([`plan::unwind`]), or
//! `down`, or `stop`, as the failure policy says. The same scheduler and executor carry them all out.
//!
//! # Where things are
//!
//! | folder | owns | a question it answers |
//! | --- | --- | --- |
//! | [`diagnostic`] | faults in the user's files, with their places | how is an error shown? |
//! | [`time`] | moments and growing pauses as values | |
//! | [`project`] | the nouns of the Compose specification and of `x-orch` | what is a service? |
//! | [`compose`] | from text to a project | why is my YAML refused? |
//! | [`health`] | readiness, decided from probe results | what counts as ready? |
//! | [`plan`] | what will be done, and why; undoing | why is this container recreated? what is undone, in what order? |
//! | [`event`] | what happened, as one numbered stream | |
//! | [`scheduler`] | what may happen next | when does wave 2 start? when is a start tried again? |
//! | [`ondemand`] | which services are loaded, on which GPU, and who makes room | why is this model not loaded? who was evicted? |
//! | [`engine`] | Docker's verbs; the adapter and the simulation | which call does Docker get? |
//! | [`probe`] | how a check is carried out | by which way is a container asked? |
//! | [`machine`] | what this machine says of itself | who holds a port? |
//! | [`gpu`] | the GPUs of this machine | how much memory is free? how does a container get this GPU? |
//! | [`tool`] | programs that speak for services and models | which program provides a service? |
//! | [`executor`] | the loop, its tasks, signals | what happens at Ctrl+C? |
//! | [`run`] | one command from observation to outcome | what follows from a failure? |
//! | [`accept`] | taking connections | what where there are too many? |
//! | [`token`] | texts that somebody must know to be let in | how are two compared? |
//! | [`proxy`] | requests on their way to services that may not be ready | what does a client get meanwhile? |
//! | [`supervisor`] | loading and unloading for real; the addresses that are listened on | how is a model started at its first request? |
//! | [`metrics`] | figures of a project, for Prometheus | what is counted? |
//! | [`journal`] | what is kept of runs | where are the logs of a removed container? |
//! | [`report`] | what a run looks like | what is printed? |
//! | [`serve`] | what is seen from outside: page, HTTP API, metrics | who may read what? what does the page show? |
//! | [`cli`] | arguments, environment, exit codes, printing | what does `up --x` mean? |
//!
//! # What holds everywhere
//!
//! - `diagnostic` to `ondemand` are pure: no tokio, files, environment, clock or printing. `tests/tidy.rs` holds
//!   that, and who may use whom.
//! - Only the executor's loop reads the clock, once per turn; the rest is given moments.
//! - An engine call that has begun is never dropped: what is under way is waited for, then undone. Only a second
//!   request to end abandons, and says what may be left.
//! - Everything a user sees is made from events; nothing prints beside them while a run goes on.
//! - Of the commands that change a project one does so at a time ([`executor::Lock`]); those that only look never wait.
//! - What takes time is a `tracing` span: `phase`, `step`, `probe`, `request`. `--trace` writes them beside the events.
//! - Volumes are removed only when the user asks for it in so many words.
//! - What a killed run leaves is recognised by names and labels ([`plan::place`]): the next `up` or `down` finishes.
//!
//! # Words
//!
//! *step*: one call to the engine. *unit*: a service whose readiness matters to a plan. *gate*: what must hold
//! before a unit starts. *wave*: units released together. *stage*: checks that must pass before the next ones are
//! asked. *replica*: one container of a service. *unwind*: to undo what a plan did; users read *rollback*.
//! *recipe*: how a known model server shows that it is ready. *fingerprint*: digests of what a container was made from.
//! *rollback window*: the time after ready in which what ran before is kept. *request to end*: Ctrl+C, SIGTERM, or the Docker CLI going away.
//!
//! # To change things
//!
//! - A Compose attribute: `project/service.rs` → `compose/schema` → `compose/decode` → `engine/docker/create`.
//! - A key of `x-orch`: `compose/extension/keys.rs`, from which checking, suggestions and the JSON Schema come, →
//!   `project/orch.rs` or `project/health.rs`.
//! - Something the engine is asked for: [`plan::Action`], and the compiler leads through the rest; then a contract
//!   test for both engines.
//! - An event: [`event::EventKind`], then `report` says how it looks.
//! - A kind of probe: [`project::ProbeSpec`] → `compose/extension/probe.rs` → `probe`.
//! - A flag: `cli/args`; it reaches the core only as data of the plan or the project.
//!
//! Ten thousand services are to take ten times what a thousand take. `tests/scale` holds that by what is allocated and
//! by instructions; `cargo test --release --test scale -- --ignored --nocapture curve` shows the curve, with time.

pub mod accept;
pub mod cli;
pub mod compose;
pub mod diagnostic;
pub mod engine;
pub mod event;
pub mod executor;
pub mod gpu;
pub mod health;
pub mod journal;
pub mod machine;
pub mod metrics;
pub mod ondemand;
pub mod plan;
pub mod probe;

pub mod project;
pub mod proxy;
pub mod report;
pub mod run;
pub mod scheduler;
pub mod serve;
pub mod supervisor;
pub mod time;
pub mod token;
pub mod tool;
