//! Places on the earth as numbers, and the distance between places.
//!
//! The map (longitude -180 to 180, latitude up to 85.05 degrees, which Web Mercator shows as a square) is halved 26 times in
//! either direction; a *cell* is named by the halves taken, a bit of latitude and one of longitude in turn, the first ones
//! highest. A cell of all 26 steps has 52 bits, so a double holds it exactly: it is the score of a member. Members in
//! a larger cell have scores in one range.

/// Longitudes of the map, in degrees.
pub(super) const LONGITUDE_MAX: f64 = 180.0;
/// Latitudes of the map, in degrees.
pub(super) const LATITUDE_MAX: f64 = 85.051_128_78;
/// Halvings of the smallest cells.
pub(super) const STEPS_MAX: u8 = 26;
/// The radius that distances are computed with, in meters.
pub(super) const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// The bits of longitude in a cell's number; the others are those of latitude.
const LONGITUDE_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const LATITUDE_BITS: u64 = !LONGITUDE_BITS;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

impl Place {
    /// Whether the map shows it.
    pub(super) fn is_on_map(self) -> bool {
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&self.longitude)
            && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&self.latitude)
    }

    /// The place that the score of a member stands for: the middle of its cell.
    pub(super) fn of_score(score: f64) -> Place {
        let area = Cell { bits: bits_of(score), steps: STEPS_MAX }.area();
        let middle = |from: f64, to: f64, max: f64| ((from + to) / 2.0).clamp(-max, max);
        Place {
            longitude: middle(area.west, area.east, LONGITUDE_MAX),
            latitude: middle(area.south, area.north, LATITUDE_MAX),
        }
    }

    /// The score of a member there.
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
    pub(super) fn score(self) -> f64 {
        Cell::of(self, STEPS_MAX).bits as f64
    }

    /// The way to another place along the surface, in meters.
    pub(super) fn distance_m(self, other: Place) -> f64 {
        let v =
            ((other.longitude.to_radians_as_c() - self.longitude.to_radians_as_c()) / 2.0).sin();
        if v == 0.0 {
            return self.distance_of_latitudes_m(other);
        }
        let (from, to) = (self.latitude.to_radians_as_c(), other.latitude.to_radians_as_c());
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    /// The way to the latitude of another place, in meters.
    pub(super) fn distance_of_latitudes_m(self, other: Place) -> f64 {
        let difference = other.latitude.to_radians_as_c() - self.latitude.to_radians_as_c();
        EARTH_RADIUS_M * difference.abs()
    }

    /// The eleven letters by which others name the place, on a map that reaches to the poles. The last one stands for bits
    /// that are not there.
    pub(super) fn letters(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::on(self, STEPS_MAX, 90.0).bits;
        std::array::from_fn(|index| {
            let shift = (index + 1) * 5;
            let at = if shift > 50 { 0 } else { (bits >> (52 - shift)) & 31 };
            ALPHABET[usize::try_from(at).unwrap_or(0)]
        })
    }
}

/// Degrees and radians, multiplied in the order in which stock servers do: the last digits depend on it.
trait Degrees {
    fn to_radians_as_c(self) -> f64;
}

impl Degrees for f64 {
    #[inline]
    fn to_radians_as_c(self) -> f64 {
        self * (std::f64::consts::PI / 180.0)
    }
}

/// Radians in degrees.
pub(super) fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// Degrees in radians.
pub(super) fn radians(degrees: f64) -> f64 {
    degrees.to_radians_as_c()
}

/// A part of the map, in degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    bits: u64,
    /// How often the map was halved in either direction.
    steps: u8,
}

impl Cell {
    /// The cell that a place lies in.
    pub(super) fn of(place: Place, steps: u8) -> Cell {
        Cell::on(place, steps, LATITUDE_MAX)
    }

    /// As [`Cell::of`], on a map of other latitudes.
    #[expect(clippy::cast_possible_truncation, reason = "below 2^26")]
    #[expect(clippy::cast_sign_loss, reason = "the place is on the map")]
    fn on(place: Place, steps: u8, latitude_max: f64) -> Cell {
        let scale = f64::from(1u32 << steps);
        let part = |value: f64, max: f64| ((value + max) / (max + max) * scale) as u32;
        let latitude = spread(part(place.latitude, latitude_max));
        let longitude = spread(part(place.longitude, LONGITUDE_MAX));
        Cell { bits: latitude | longitude << 1, steps }
    }

    /// What it covers.
    pub(super) fn area(self) -> Area {
        let scale = f64::from(1u32 << self.steps);
        let edge = |part: u32, more: f64, max: f64| {
            -max + ((f64::from(part) + more) / scale) * (max - -max)
        };
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        Area {
            west: edge(longitude, 0.0, LONGITUDE_MAX),
            east: edge(longitude, 1.0, LONGITUDE_MAX),
            south: edge(latitude, 0.0, LATITUDE_MAX),
            north: edge(latitude, 1.0, LATITUDE_MAX),
        }
    }

    /// The cell so many to the east and to the north; the map goes on at its other side.
    pub(super) fn moved(self, east: i8, north: i8) -> Cell {
        let unused = 64 - 2 * u32::from(self.steps);
        let shift = |bits: u64, own: u64, other: u64, by: i8| {
            // The end of the map counts as one cell more; it stays that where nothing moves.
            let all = bits & own;
            let (own, other) = (own >> unused, other >> unused);
            // With the bits of the other direction all set, a carry passes through them.
            let part = match by.signum() {
                0 => return all,
                1 => (bits & own).wrapping_add(other.wrapping_add(1)),
                _ => ((bits & own) | other).wrapping_sub(other.wrapping_add(1)),
            };
            part & own
        };
        let longitude = shift(self.bits, LONGITUDE_BITS, LATITUDE_BITS, east);
        let latitude = shift(self.bits, LATITUDE_BITS, LONGITUDE_BITS, north);
        Cell { bits: longitude | latitude, steps: self.steps }
    }

    /// The scores of the places in it: from the first to below the second.
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 52 - 2 * u32::from(self.steps);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// The number of the cell that a score names. One that names none gives what stock servers make of it on x86.
#[expect(clippy::cast_possible_truncation, reason = "numbers below -2^63 count as that")]
#[expect(clippy::cast_sign_loss, reason = "negative numbers wrap")]
fn bits_of(score: f64) -> u64 {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if score >= 2.0 * TWO_TO_63 {
        0
    } else if score >= TWO_TO_63 {
        score as u64
    } else {
        score as i64 as u64
    }
}

/// The bits of a number with a 0 in front of each.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// Every other bit, from the lowest on.
#[expect(clippy::cast_possible_truncation, reason = "every other bit of 64 are 32")]
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Place = Place { longitude: 13.361_389, latitude: 38.115_556 };

    #[test]
    fn places_are_numbers_as_in_stock() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698.0);
        assert_eq!(&PALERMO.letters(), b"sqc8b49rny0");
        let catania = Place { longitude: 15.087_269, latitude: 37.502_669 };
        let (one, other) = (Place::of_score(PALERMO.score()), Place::of_score(catania.score()));
        assert_eq!(format!("{:.4}", one.distance_m(other)), "166274.1516");
    }

    #[test]
    fn neighbours_meet_where_the_map_ends() {
        let cell = Cell::of(Place { longitude: 179.9, latitude: 0.1 }, 10);
        assert!(cell.moved(1, 0).area().west < -179.0);
        assert_eq!(cell.moved(1, 0).moved(-1, 0), cell);
        assert_eq!(cell.moved(1, -1).moved(-1, 1), cell);
        assert!((cell.moved(0, 1).area().south - cell.area().north).abs() < 1e-9);
    }

    #[test]
    fn the_scores_of_a_cell_are_those_of_its_places() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..1000 {
            let place = Place {
                longitude: random.f64() * 360.0 - 180.0,
                latitude: random.f64() * 170.0 - 85.0,
            };
            let (from, to) = Cell::of(place, random.u8(1..=26)).scores();
            assert!((from..to).contains(&place.score()));
        }
    }
}
