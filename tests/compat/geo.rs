//! Places beside a stock server.

use crate::peer::{Request, words};
use crate::random::{Pair, pick, with_seed};
use crate::strings::spoil;

/// Random requests of the family.
const REQUESTS: usize = 100_000;

const KEYS: [&str; 4] = ["a", "b", "nokey", "text"];

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    let count = if random.u8(..10) == 0 { 4 } else { 2 };
    text(KEYS[random.usize(..count)])
}

fn member(random: &mut fastrand::Rng) -> Vec<u8> {
    format!("m{}", random.u8(..100)).into_bytes()
}

/// Longitude and latitude: anywhere, in one region, at the ends of the map, or none.
fn place(random: &mut fastrand::Rng) -> [Vec<u8>; 2] {
    let (longitude, latitude) = match random.u8(..20) {
        0 => (random.f64() * 380.0 - 190.0, random.f64() * 180.0 - 90.0),
        // Equal distances would come in any order, so no two members are at one place.
        1 if random.bool() => (*pick(random, &[&-180.0, &180.0, &0.0]), random.f64() * 80.0),
        1 => (random.f64() * 170.0, *pick(random, &[&85.05, &-85.05, &0.0])),
        2..=6 => (random.f64() * 360.0 - 180.0, random.f64() * 170.0 - 85.0),
        _ => (random.f64() * 8.0 + 10.0, random.f64() * 6.0 + 36.0),
    };
    if random.u8(..200) == 0 {
        return [text("x"), text("1")];
    }
    [text(&format!("{longitude:.6}")), text(&format!("{latitude:.6}"))]
}

fn unit(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..60) {
        0 => text(pick(random, &["ly", "", "KM"])),
        _ => text(pick(random, &["m", "km", "mi", "ft"])),
    }
}

fn length(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..40) {
        0 => text(pick(random, &["-1", "x", "", "nan", "inf", "0"])),
        1..=4 => text(&random.u32(..30_000_000).to_string()),
        _ => text(&format!("{:.1}", random.f64().powi(3) * 2000.0)),
    }
}

fn options(random: &mut fastrand::Rng, request: &mut Request) {
    for _ in 0..random.usize(..4) {
        let word = pick(
            random,
            &["WITHDIST", "WITHHASH", "WITHCOORD", "ASC", "DESC", "COUNT", "asc", "desc", "FOO"],
        );
        if word == "FOO" && random.u8(..8) > 0 {
            continue;
        }
        request.push(text(word));
        if word == "COUNT" {
            request.push(text(pick(random, &["1", "2", "3", "10", "100", "0", "-1", "x"])));
            if random.u8(..4) == 0 {
                request.push(text("ANY"));
            }
        }
    }
    if random.u8(..60) == 0 {
        request.push(text("ANY"));
    }
}

fn shape(random: &mut fastrand::Rng, request: &mut Request) {
    if random.bool() {
        request.extend([text("FROMMEMBER"), member(random)]);
    } else {
        request.push(text("FROMLONLAT"));
        request.extend(place(random));
    }
    if random.u8(..60) == 0 {
        request.extend([text("FROMMEMBER"), member(random)]);
    }
    if random.bool() {
        request.extend([text("BYRADIUS"), length(random), unit(random)]);
    } else {
        request.extend([text("BYBOX"), length(random), length(random), unit(random)]);
    }
}

#[expect(clippy::too_many_lines, reason = "a table of requests")]
pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 17] = [
        "GEOADD",
        "GEOADD",
        "GEOADD",
        "GEOADD",
        "GEODIST",
        "GEOHASH",
        "GEOPOS",
        "GEOSEARCH",
        "GEOSEARCH",
        "GEOSEARCH",
        "GEOSEARCHSTORE",
        "GEORADIUS",
        "GEORADIUS_RO",
        "GEORADIUSBYMEMBER",
        "GEORADIUSBYMEMBER_RO",
        "ZREM",
        "ZRANGE",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![text(name)];
    if name == "GEOSEARCHSTORE" {
        request.push(text(pick(random, &["d", "d", "text"])));
    }
    request.push(key(random));
    match name {
        "GEOADD" => {
            for _ in 0..[0, 0, 0, 1, 2][random.usize(..5)] {
                request.push(text(pick(random, &["NX", "XX", "CH", "ch"])));
            }
            for _ in 0..random.usize(1..4) {
                request.extend(place(random));
                request.push(member(random));
            }
        }
        "GEODIST" => {
            request.extend([member(random), member(random)]);
            if random.bool() {
                request.push(unit(random));
            }
        }
        "GEOHASH" | "GEOPOS" => (0..random.usize(..4)).for_each(|_| request.push(member(random))),
        "GEOSEARCH" => {
            shape(random, &mut request);
            options(random, &mut request);
        }
        "GEOSEARCHSTORE" => {
            shape(random, &mut request);
            options(random, &mut request);
            if random.bool() {
                request.push(text("STOREDIST"));
            }
        }
        "ZREM" => request.push(member(random)),
        "ZRANGE" => {
            // Distances that were stored have more digits in 7.0.
            request[1] = text(pick(random, &KEYS[..2]));
            request.extend([text("0"), text("-1"), text("WITHSCORES")]);
        }
        _ => {
            if name.starts_with("GEORADIUSBYMEMBER") {
                request.push(member(random));
            } else {
                request.extend(place(random));
            }
            request.extend([length(random), unit(random)]);
            options(random, &mut request);
            if random.u8(..4) == 0 {
                request.push(text(pick(random, &["STORE", "STOREDIST", "store"])));
                request.push(text("d"));
            }
        }
    }
    spoil(random, &mut request);
    request
}

#[test]
fn random_geo_commands_answer_as_stock_does() {
    with_seed("random_geo_commands", 20_261_130, |seed| {
        let mut pair = Pair::start();
        for (round, resp3) in [false, true].into_iter().enumerate() {
            pair.set_resp3(resp3);
            for part in 0..5 {
                pair.check("FLUSHALL\nSET text x");
                let seed = seed + 100 * round as u64 + part;
                pair.play(seed, REQUESTS / 10, request, &|_, _, reply| reply);
                pair.check(
                    "ZRANGE a 0 -1 WITHSCORES\nZRANGE b 0 -1 WITHSCORES\nDEBUG DIGEST-VALUE a b",
                );
            }
        }
    });
}

#[test]
fn many_places_are_found_in_the_same_order() {
    with_seed("many_places", 20_261_131, |seed| {
        let mut pair = Pair::start();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut add = words("GEOADD places");
        for number in 0..3000 {
            add.extend([
                text(&format!("{:.6}", random.f64() * 360.0 - 180.0)),
                text(&format!("{:.6}", random.f64() * 170.0 - 85.0)),
                text(&format!("place{number}")),
            ]);
        }
        assert_eq!(pair.stock.run(&[add.clone()]), pair.ours.run(&[add]));
        pair.play(
            seed,
            4000,
            |random| {
                let mut request = words("GEOSEARCH places");
                shape(random, &mut request);
                request[3] = if request[2] == b"FROMMEMBER" {
                    format!("place{}", random.u16(..3000)).into_bytes()
                } else {
                    request[3].clone()
                };
                options(random, &mut request);
                request
            },
            &|_, _, reply| reply,
        );
    });
}

/// Any score may stand beside those of places.
#[test]
fn scores_that_name_no_cell_show_as_in_stock() {
    Pair::start().check(
        "ZADD odd 1e20 a inf b -1 c -inf d 18446744073709551615 e 1e19 f -1e30 g 9223372036854775808 h
         ZADD odd 4503599627370496 i 5e15 j -5.5 k -9.3e18 l 3.7e15 m 9.3e18 n 1.7e19 o
         GEOPOS odd a b c d e f g h i j k l m n o
         GEOHASH odd a b c d e f g h i j k l m n o
         GEODIST odd a m
         GEODIST odd f h",
    );
}
