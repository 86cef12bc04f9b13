use super::*;

/// Limits under which few items make many nodes.
fn limits(list_node_size: i64, list_compress_depth: u32) -> Limits {
    Limits { list_node_size, list_compress_depth, ..Limits::default() }
}

impl List {
    /// Asserts what always holds.
    fn check_invariants(&self, limits: &Limits) {
        match &self.form {
            Form::Short(pack) => {
                assert!(pack.bytes().len() <= 2 * limits.list_node_bytes_max() + 16);
                assert!(limits.list_node_fits(pack.len() as u64, 0));
            }
            Form::Long(nodes) => nodes.check_invariants(limits),
        }
    }

    fn nodes(&self) -> (usize, usize) {
        match &self.form {
            Form::Short(_) => (1, 0),
            Form::Long(nodes) => nodes.nodes(),
        }
    }
}

fn contents(list: &List) -> Vec<Vec<u8>> {
    list.iter().map(Cow::into_owned).collect()
}

/// Items of all kinds: numbers, short and long text, compressible and not, few of them different.
fn item(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..40) {
        0 => vec![b'x'; random.usize(4000..10_000)],
        1 => (0..random.usize(..9000)).map(|_| random.u8(..)).collect(),
        2 => random.i64(..).to_string().into_bytes(),
        3..10 => vec![b'y'; random.usize(..1500)],
        10..20 => random.u8(..5).to_string().into_bytes(),
        _ => vec![b'a' + random.u8(..3); random.usize(..3)],
    }
}

fn end(random: &mut fastrand::Rng) -> End {
    if random.bool() { End::Head } else { End::Tail }
}

/// One change of both, with the same result.
fn change(random: &mut fastrand::Rng, list: &mut List, model: &mut Vec<Vec<u8>>, limits: &Limits) {
    let (len, end) = (model.len(), end(random));
    match random.u8(..20) {
        0..5 => {
            let items: Vec<Vec<u8>> = (0..random.usize(1..12)).map(|_| item(random)).collect();
            list.push_all(end, || items.iter().map(Vec::as_slice), limits);
            for item in items {
                let at = if end == End::Head { 0 } else { model.len() };
                model.insert(at, item);
            }
        }
        5 => {
            let (index, item) = (random.usize(..=len), item(random));
            list.insert(index, &item, limits);
            model.insert(index, item);
        }
        6 | 7 if len > 0 => {
            let (index, item) = (random.usize(..len), item(random));
            list.set(index, &item, limits);
            model[index] = item;
        }
        8 if len > 0 => {
            let to = self::end(random);
            let taken = list.rotate(end, to, limits).expect("it has items");
            let item = model.remove(if end == End::Head { 0 } else { len - 1 });
            assert_eq!(taken.item().to_bytes(), item);
            model.insert(if to == End::Head { 0 } else { len - 1 }, item);
        }
        9 => {
            let (needle, max) = (item(random), random.usize(1..8));
            let mut left = max;
            let mut keep = |other: &Vec<u8>| {
                let goes = *other == needle && left > 0;
                left -= usize::from(goes);
                !goes
            };
            if end == End::Head {
                model.retain(keep);
            } else {
                let mut kept: Vec<_> = model.drain(..).rev().filter(|item| keep(item)).collect();
                kept.reverse();
                *model = kept;
            }
            assert_eq!(list.remove_matches(&needle, end, max, limits), max - left);
        }
        10 if len > 0 => {
            let index = random.usize(..len);
            let count = random.usize(..=(len - index).min(30));
            list.remove_range(index, count, limits);
            model.drain(index..index + count);
        }
        11 => {
            let item = item(random);
            list.push_item(end, PackedItem::Bytes(&item), limits);
            model.insert(if end == End::Head { 0 } else { len }, item);
        }
        12..18 => {
            let taken = list.pop(end, limits).map(|taken| taken.item().to_bytes().into_owned());
            let expected = match end {
                _ if len == 0 => None,
                End::Head => Some(model.remove(0)),
                End::Tail => model.pop(),
            };
            assert_eq!(taken, expected);
        }
        18 if len > 60 => {
            let left = if random.bool() { random.usize(..4) } else { random.usize(..60) };
            let count = len - left;
            list.remove_at(end, count, limits);
            model.drain(if end == End::Head { 0..count } else { len - count..len });
        }
        _ => {}
    }
}

fn look(random: &mut fastrand::Rng, list: &List, model: &[Vec<u8>]) {
    assert_eq!(list.len(), model.len());
    let (from, skip) = (end(random), random.usize(..=model.len()));
    let mut found = Vec::new();
    list.walk_some(from, skip, 7, |item| found.push(item.to_bytes().into_owned()));
    let expected: Vec<Vec<u8>> = match from {
        End::Head => model.iter().skip(skip).take(7).cloned().collect(),
        End::Tail => model.iter().rev().skip(skip).take(7).cloned().collect(),
    };
    assert_eq!(found, expected);
    let needle = item(random);
    assert_eq!(list.position(&needle), model.iter().position(|item| *item == needle));
}

#[test]
fn random_changes_agree_with_a_vector() {
    for (seed, (size, depth)) in
        [(-1, 0), (-1, 1), (-2, 2), (4, 0), (3, 1), (1, 3), (0, 0), (50, 1)].into_iter().enumerate()
    {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let limits = limits(size, depth);
        let (mut list, mut model) = (List::new(), Vec::new());
        let (mut short, mut long, mut compressed) = (0, 0, 0);
        for round in 0..4000 {
            // A copy keeps what it saw.
            let before = (round % 50 == 0).then(|| (list.clone(), model.clone()));
            change(&mut random, &mut list, &mut model, &limits);
            list.check_invariants(&limits);
            look(&mut random, &list, &model);
            if let Some((list, model)) = before {
                assert_eq!(contents(&list), model);
            }
            match list.encoding(&limits) {
                "listpack" => short += 1,
                _ => long += 1,
            }
            compressed = compressed.max(list.nodes().1);
        }
        assert_eq!(contents(&list), model);
        assert!(short > 50 && long > 50, "{short} and {long}");
        assert_eq!(compressed > 0, depth > 0, "{compressed} at depth {depth}");
    }
}

#[test]
fn a_list_becomes_long_when_one_node_would_not_hold_it() {
    let check = |count: usize, len: usize, expected: &str| {
        let limits = Limits::default();
        let mut list = List::new();
        (0..count).for_each(|_| list.push_back(&vec![b'x'; len], &limits));
        assert_eq!(list.encoding(&limits), expected);
    };
    check(1, 8000, "listpack");
    check(1, 8185, "listpack");
    check(1, 8186, "quicklist");
    check(1000, 5, "listpack");
    check(2000, 5, "quicklist");
}

#[test]
fn a_list_becomes_short_again_at_half_a_node() {
    let limits = limits(8, 0);
    let mut list = List::new();
    (0..9).for_each(|_| list.push_back(b"x", &limits));
    assert_eq!(list.encoding(&limits), "quicklist");
    for left in (1..9).rev() {
        list.pop(End::Tail, &limits);
        let expected = if left > 4 { "quicklist" } else { "listpack" };
        assert_eq!(list.encoding(&limits), expected, "{left}");
    }
}

#[test]
fn many_short_items_at_once_do_not_make_one_huge_block() {
    let limits = Limits::default();
    let mut list = List::new();
    list.push_all(End::Tail, || std::iter::repeat_n(&b""[..], 100_000), &limits);
    list.check_invariants(&limits);
    assert!(list.nodes().0 > 20);
}

#[test]
fn large_items_that_come_and_go_leave_no_crumbs() {
    let limits = Limits::default();
    let mut list = List::new();
    (0..4000).for_each(|number: u32| list.push_back(format!("item {number}").as_bytes(), &limits));
    let nodes = list.nodes().0;
    for index in (1..3900).step_by(3) {
        list.insert(index, &[b'x'; 9000], &limits);
        list.remove_range(index, 1, &limits);
    }
    list.check_invariants(&limits);
    assert!(list.nodes().0 < 4 * nodes + 4, "{:?}", list.nodes());
}

#[test]
fn memory_is_what_is_allocated() {
    let limits = Limits::default();
    let mut list = List::new();
    for number in 0..200_000_u32 {
        list.push_back(format!("{number:09}x").as_bytes(), &limits);
    }
    let per_item = list.memory_usage() as f64 / list.len() as f64;
    assert!((11.9..12.4).contains(&per_item), "{per_item}");
    let mut copy = list.clone();
    copy.pop(End::Head, &limits);
    assert_eq!((copy.len(), list.len()), (199_999, 200_000));
}
