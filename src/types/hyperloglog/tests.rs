use super::*;

/// More than any sparse one takes.
const ALWAYS_SPARSE: usize = 1 << 20;

fn values(bytes: &[u8]) -> Vec<u8> {
    let mut union = Union::default();
    union.add(bytes).unwrap();
    union.registers().to_vec()
}

#[test]
fn an_empty_one_has_stocks_bytes() {
    assert_eq!(new(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(count(&new()), Ok(0));
    assert_eq!(cached_count(&new()), Some(0));
}

#[test]
fn sparse_and_dense_ones_agree_with_plain_registers() {
    let mut random = fastrand::Rng::with_seed(21);
    for span in [10, 200, 16_384] {
        let (mut sparse, mut dense) = (new(), new());
        make_dense(&mut dense).unwrap();
        let mut model = vec![0u8; REGISTERS];
        for _ in 0..3000 {
            // Values that meet, so that runs are split and joined.
            let mark =
                Mark { index: random.usize(..span), value: random.u8(1..=[2, 32][span % 2]) };
            let changes = model[mark.index] < mark.value;
            assert_eq!(mark.changes(&sparse), Ok(changes));
            assert_eq!(mark.apply(&mut sparse, ALWAYS_SPARSE), Ok(changes));
            assert_eq!(mark.apply(&mut dense, 0), Ok(changes));
            model[mark.index] = model[mark.index].max(mark.value);
            assert_eq!(runs(&sparse).map(|run| run.len).sum::<usize>(), REGISTERS);
        }
        assert_eq!(encoding(&sparse), Ok(Encoding::Sparse));
        assert_eq!((values(&sparse), values(&dense)), (model.clone(), model));
        assert_eq!(count(&sparse), count(&dense));
        make_dense(&mut sparse).unwrap();
        assert_eq!(sparse[HEADER_BYTES..], dense[HEADER_BYTES..]);
    }
}

#[test]
fn estimates_are_close() {
    let mut bytes = new();
    let mut number = 0u64;
    for bound in [10, 100, 1000, 10_000, 100_000] {
        while number < bound {
            number += 1;
            Mark::of(number.to_string().as_bytes()).apply(&mut bytes, 3000).unwrap();
        }
        let error = count(&bytes).unwrap().abs_diff(bound);
        assert!(error * 25 <= bound, "{error} of {bound}");
    }
    assert_eq!(encoding(&bytes), Ok(Encoding::Dense));
}

#[test]
fn a_sparse_one_becomes_dense_when_it_is_full_or_a_value_is_too_large() {
    let mut bytes = new();
    Mark { index: 5, value: 33 }.apply(&mut bytes, 3000).unwrap();
    assert_eq!(encoding(&bytes), Ok(Encoding::Dense));
    assert_eq!(values(&bytes)[5], 33);
    let mut bytes = new();
    let mut index = 0;
    while encoding(&bytes) == Ok(Encoding::Sparse) {
        assert!(bytes.len() <= 100);
        index += 3;
        assert_eq!(Mark { index, value: 1 }.apply(&mut bytes, 100), Ok(true));
    }
    assert_eq!(values(&bytes).iter().map(|&value| usize::from(value)).sum::<usize>(), index / 3);
}

#[test]
fn what_is_damaged_is_told_or_survived() {
    let mut random = fastrand::Rng::with_seed(22);
    let mut whole = new();
    for number in 0..300u16 {
        Mark::of(&number.to_le_bytes()).apply(&mut whole, 3000).unwrap();
    }
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        match random.u8(..3) {
            0 => bytes.truncate(random.usize(..bytes.len())),
            1 => bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(3)),
            _ => {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
        let counted = count(&bytes);
        assert_eq!(Union::default().add(&bytes).is_ok(), counted.is_ok());
        assert_eq!(make_dense(&mut bytes.clone()).is_ok(), counted.is_ok());
        if encoding(&bytes).is_ok() {
            for _ in 0..5 {
                let mark = Mark { index: random.usize(..REGISTERS), value: random.u8(1..50) };
                let changes = mark.changes(&bytes);
                let applied = mark.apply(&mut bytes, 3000);
                assert!(applied == changes || applied == Err(Problem::Corrupt));
            }
        }
    }
    assert_eq!(count(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"), Err(Problem::NotOne));
    assert_eq!(count(b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"), Err(Problem::NotOne));
    assert_eq!(count(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xfe"), Err(Problem::Corrupt));
    assert_eq!(count(b"HYLL"), Err(Problem::NotOne));
}
