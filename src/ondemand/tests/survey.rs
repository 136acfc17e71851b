//! What is foretold of services that share GPUs.

use super::*;

/// Services on GPUs of so many GiB.
fn surveyed(gpus: &[u64], services: impl IntoIterator<Item = ServiceSpec>) -> Survey {
    let gpu = |(number, total): (u32, &u64)| (gpu(number), Memory { total: total * GIB, free: None });
    let devices = (0..).zip(gpus).map(gpu).collect();
    Surveyed { rules: GpuRules::default(), devices, services: services.into_iter().collect() }.survey()
}

/// Two that are not loaded side by side, in a line each.
fn lines(survey: &Survey) -> Vec<String> {
    let line = |rival: &Rival| format!("{} beside {}: {:?}", rival.asked, rival.loaded, rival.fate);
    survey.rivals.iter().map(line).collect()
}

fn groups(survey: &Survey) -> Vec<Vec<usize>> {
    survey.groups.iter().map(|group| group.iter().copied().collect()).collect()
}

fn on(number: u32, gib: u64) -> Fate {
    Fate::Loaded(vec![(gpu(number), gib * GIB)])
}

#[test]
fn who_fits_beside_whom_is_as_the_machine_places_them() {
    let survey =
        surveyed(&[24, 12], [spec("a", 20), spec("b", 10), spec("c", 16), spec("d", 30), spec("e", 2)]);
    let never = Fate::Never("it needs 30 GiB on a GPU, and no more than 24 GiB may ever be taken".to_owned());
    // The fullest that has room.
    assert_eq!(survey.alone, [on(0, 20), on(1, 10), on(0, 16), never, on(1, 2)]);
    assert_eq!(groups(&survey), [vec![0, 1, 4], vec![1, 2, 4]]);
    assert_eq!(lines(&survey), ["2 beside 0: MakesWay({0})", "0 beside 2: MakesWay({2})"]);
}

#[test]
fn who_stays_is_there_before_all_others() {
    let stays = ServiceSpec { load: Load::Preload, ..spec("a", 20) };
    let survey = surveyed(&[24], [spec("b", 10), stays.clone(), stays, spec("c", 4)]);
    let lacks = "it needs 10 GiB on a GPU, and GPU-0 lacks 6 GiB; a is always kept".to_owned();
    let late = "it needs 20 GiB on a GPU, and GPU-0 lacks 16 GiB; a is always kept".to_owned();
    assert_eq!(survey.alone, [Fate::Waits(lacks), on(0, 20), Fate::Waits(late), on(0, 4)]);
    assert_eq!((groups(&survey), survey.rivals.len()), (vec![vec![3]], 0));
}

#[test]
fn who_does_not_make_way_is_waited_for() {
    let kept = ServiceSpec { keep: Keep::Always, ..spec("a", 20) };
    let survey = surveyed(&[24], [kept, spec("b", 10)]);
    let waits = r#"1 beside 0: Waits("it needs 10 GiB on a GPU, and GPU-0 lacks 6 GiB; a is always kept")"#;
    assert_eq!(lines(&survey), [waits, "0 beside 1: MakesWay({1})"]);
}

#[test]
fn a_number_of_services_is_a_limit_too() {
    let one = |name: &str| {
        let rules = Rules { max_loaded: Some(2), ..spec(name, 1).rules };
        ServiceSpec { rules, devices: Wanted::None, vram: None, ..spec(name, 1) }
    };
    let stays = ServiceSpec { load: Load::Preload, ..one("s") };
    let survey = surveyed(&[], [one("a"), one("b"), one("c"), stays]);
    assert_eq!(groups(&survey), [vec![0, 1], vec![0, 2]]);
    assert!(survey.rivals.is_empty() && survey.alone.iter().all(|fate| *fate == Fate::Loaded(vec![])));
}
