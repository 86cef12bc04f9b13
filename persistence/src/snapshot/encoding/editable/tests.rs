use super::*;

/// A small generator, so that the crate needs none: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % bound
    }
}

fn item(random: &mut Random) -> Vec<u8> {
    const NUMBERS: [i64; 14] = [
        0,
        127,
        128,
        -1,
        -4096,
        -4097,
        4095,
        4096,
        32_768,
        -8_388_609,
        8_388_608,
        2_147_483_648,
        i64::MIN,
        i64::MAX,
    ];
    match random.below(6) {
        0 => NUMBERS[random.below(NUMBERS.len())].to_string().into_bytes(),
        1 => random.below(300).to_string().into_bytes(),
        2 => vec![b'x'; [63, 64, 125, 126, 4095, 4096, 17_000][random.below(7)]],
        3 => b"007".to_vec(),
        _ => vec![b'a'; random.below(20)],
    }
}

fn check(pack: &EditableListpack, model: &[Vec<u8>]) {
    EditableListpack::from_bytes(pack.bytes().to_vec()).expect("well formed");
    assert_eq!(pack.len(), model.len());
    assert_eq!(pack.is_empty(), model.is_empty());
    assert!(pack.iter().map(PackedItem::to_bytes).eq(model.iter().map(Cow::from)));
    let backwards = pack.iter().rev().map(PackedItem::to_bytes);
    assert!(backwards.eq(model.iter().rev().map(Cow::from)));
    let used = pack.bytes().len();
    assert!(pack.capacity() <= (2 * size_class(used)).max(64), "{} for {used}", pack.capacity());
}

#[test]
fn random_changes_agree_with_a_list() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut pack, mut model) = (EditableListpack::new(), Vec::<Vec<u8>>::new());
    for round in 0..20_000 {
        let new = item(&mut random);
        let index = random.below(model.len() + 1);
        let place = pack.at(index);
        assert_eq!(place.is_some(), index < model.len());
        match random.below(if model.len() > 40 { 4 } else { 7 }) {
            0 | 1 => {
                let count = random.below(4);
                if let Some(place) = place {
                    let left = pack.remove(place, count);
                    model.drain(index..(index + count).min(model.len()));
                    assert_eq!(left, pack.at(index));
                }
            }
            2 => {
                if let Some(place) = place {
                    pack.replace(place, &new);
                    model[index] = new;
                }
            }
            3 => {
                let rest = pack.split_off(place.unwrap_or(pack.tail()));
                check(&rest, &model[index..]);
                check(&pack, &model[..index]);
                pack.append(&rest);
            }
            4 => {
                pack.push(&new);
                model.push(new);
            }
            _ => {
                let place = pack.insert(place.unwrap_or(pack.tail()), &new);
                assert_eq!(pack.get(place).to_bytes(), new);
                model.insert(index, new);
            }
        }
        if round % 16 == 0 {
            check(&pack, &model);
            let wanted = item(&mut random);
            let found = pack.find(&Needle::new(&wanted), pack.first(), 1);
            let expected = model.iter().step_by(2).position(|other| *other == wanted);
            assert_eq!(found, expected.and_then(|index| pack.at(2 * index)));
        }
    }
}

#[test]
fn more_items_than_the_header_can_count_are_counted_by_walking() {
    let mut pack = EditableListpack::new();
    (0..65_534).for_each(|_| pack.push(b"1"));
    assert_eq!(pack.len(), 65_534);
    pack.push(b"2");
    pack.push(b"3");
    assert_eq!(pack.len(), 65_536);
    pack.remove(pack.first().unwrap(), 3);
    assert_eq!((pack.len(), &pack.bytes()[4..6]), (65_533, &[0xfd, 0xff][..]));
}

/// A stream counts in its nodes with each entry: that must cost the same, however many there are.
#[test]
fn a_number_of_items_that_is_not_known_is_not_found_out_by_replacing_one() {
    let mut pack = EditableListpack::new();
    (0..3).for_each(|number| pack.push_integer(number));
    let mut bytes = pack.bytes().to_vec();
    bytes[4..6].copy_from_slice(&[0xff, 0xff]);
    let mut pack = EditableListpack::from_bytes(bytes).unwrap();
    pack.replace_integer(pack.first().unwrap(), 1000);
    assert_eq!((pack.len(), &pack.bytes()[4..6]), (3, &[0xff, 0xff][..]));
    pack.push(b"x");
    assert_eq!((pack.len(), &pack.bytes()[4..6]), (4, &[0xff, 0xff][..]));
    pack.remove(pack.first().unwrap(), 1);
    assert_eq!((pack.len(), &pack.bytes()[4..6]), (3, &[3, 0][..]));
}

#[test]
fn corrupt_bytes_are_refused() {
    let mut pack = EditableListpack::new();
    pack.push(b"hello");
    let mut bytes = pack.bytes().to_vec();
    bytes[6] = 0xf5;
    assert!(EditableListpack::from_bytes(bytes).is_err());
    assert!(EditableListpack::from_bytes(vec![7, 0, 0]).is_err());
}

#[test]
fn the_length_of_a_number_is_that_of_its_text() {
    for number in [0, 1, 9, 10, 99, 100, -1, -10, i64::MAX, i64::MIN] {
        let item = PackedItem::Int(number);
        assert_eq!(item.bytes_len(), item.to_bytes().len(), "{number}");
    }
}

#[test]
fn items_that_are_much_alike_are_told_apart() {
    let mut words: Vec<Vec<u8>> = (0..80).map(|len| vec![b'x'; len]).collect();
    for len in [1, 7, 8, 9, 15, 16, 17, 40, 63, 64, 70] {
        for at in 0..len {
            let mut word = vec![b'x'; len];
            word[at] = b'y';
            words.push(word);
        }
    }
    words.extend(
        ["0", "7", "-7", "128", "5000", "70000", "x7", "07"].map(|word| word.as_bytes().to_vec()),
    );
    let mut pack = EditableListpack::new();
    words.iter().for_each(|word| pack.push(word));
    let places: Vec<Place> =
        std::iter::successors(pack.first(), |place| pack.after(*place)).collect();
    assert_eq!(places.len(), words.len());
    for (word, place) in words.iter().zip(&places) {
        assert_eq!(pack.find(&Needle::new(word), pack.first(), 0), Some(*place), "{word:?}");
        assert_eq!(pack.find(&Needle::of(pack.get(*place)), pack.first(), 0), Some(*place));
    }
    for missing in [&b"z"[..], b"xxxxxxxz", b"9", b"-8", &[b'z'; 63], &[b'z'; 64]] {
        assert_eq!(pack.find(&Needle::new(missing), pack.first(), 0), None, "{missing:?}");
    }
}
