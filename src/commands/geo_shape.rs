//! The area that a search looks at: a circle or a box, and the cells that cover it.

use super::geo_hash::{Cell, EARTH_RADIUS_M, Place, STEPS_MAX, degrees, radians};

/// Half the width of the map at the equator, in meters.
const MAP_HALF_M: f64 = 20_037_726.37;

/// A circle or a box around a place. Lengths are in a unit of so many meters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) center: Place,
    pub(super) unit_m: f64,
    pub(super) form: Form,
}

/// See [`Shape`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

impl Shape {
    /// How far a place inside is from the center, in meters; `None` outside.
    pub(super) fn distance_m(&self, place: Place) -> Option<f64> {
        match self.form {
            Form::Circle { radius } => {
                let distance = self.center.distance_m(place);
                (distance <= radius * self.unit_m).then_some(distance)
            }
            Form::Box { width, height } => {
                let (width, height) = (width * self.unit_m, height * self.unit_m);
                if place.distance_of_latitudes_m(self.center) > height / 2.0 {
                    return None;
                }
                let beside = Place { longitude: self.center.longitude, ..place };
                if place.distance_m(beside) > width / 2.0 {
                    return None;
                }
                Some(self.center.distance_m(place))
            }
        }
    }

    /// Half of width and height, in meters.
    fn halves_m(&self) -> (f64, f64) {
        match self.form {
            Form::Circle { radius } => (self.unit_m * radius, self.unit_m * radius),
            Form::Box { width, height } => {
                (self.unit_m * (width / 2.0), self.unit_m * (height / 2.0))
            }
        }
    }

    /// How far the farthest point is, in meters.
    fn reach_m(&self) -> f64 {
        let reach = match self.form {
            Form::Circle { radius } => radius,
            Form::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        reach * self.unit_m
    }

    /// West, south, east and north end, in degrees.
    fn bounds(&self) -> [f64; 4] {
        let Place { longitude, latitude } = self.center;
        let (width, height) = self.halves_m();
        let north = degrees(height / EARTH_RADIUS_M);
        let east_at = |latitude: f64| degrees(width / EARTH_RADIUS_M / radians(latitude).cos());
        // Towards the nearer pole a degree of longitude is shorter.
        let east =
            if latitude < 0.0 { east_at(latitude - north) } else { east_at(latitude + north) };
        [longitude - east, latitude - north, longitude + east, latitude + north]
    }

    /// The cells that cover the shape, in the order in which stock looks at them. Some may come twice.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> {
        let [west, south, east, north] = self.bounds();
        let mut steps = steps_for(self.reach_m(), self.center.latitude);
        let mut center = Cell::of(self.center, steps);
        // Near an edge of its cell the shape may reach beyond the cells around that.
        let too_small = center.moved(0, 1).area().north < north
            || center.moved(0, -1).area().south > south
            || center.moved(1, 0).area().east < east
            || center.moved(-1, 0).area().west > west;
        if steps > 1 && too_small {
            steps -= 1;
            center = Cell::of(self.center, steps);
        }
        let area = center.area();
        // Cells behind an end of the shape that lies in the middle one are left out.
        let wanted = move |x: i8, y: i8| {
            steps < 2
                || !((y < 0 && area.south < south)
                    || (y > 0 && area.north > north)
                    || (x < 0 && area.west < west)
                    || (x > 0 && area.east > east))
        };
        const ORDER: [(i8, i8); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        ORDER.into_iter().filter(move |&(x, y)| wanted(x, y)).map(move |(x, y)| center.moved(x, y))
    }
}

/// How often the map may be halved so that a cell and those around it hold a circle of this radius.
fn steps_for(radius_m: f64, latitude: f64) -> u8 {
    if radius_m == 0.0 {
        return STEPS_MAX;
    }
    let (mut radius_m, mut steps) = (radius_m, 1i32);
    while radius_m < MAP_HALF_M {
        radius_m *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Cells are narrow near the poles.
    if latitude.abs() > 66.0 {
        steps -= 1;
        if latitude.abs() > 80.0 {
            steps -= 1;
        }
    }
    u8::try_from(steps.clamp(1, i32::from(STEPS_MAX))).expect("it is in between")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cells_of_a_shape_hold_all_places_in_it() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..3000 {
            let mut place = || Place {
                longitude: random.f64() * 340.0 - 170.0,
                latitude: random.f64() * 160.0 - 80.0,
            };
            let (center, other) = (place(), place());
            let nearness = random.f64().powi(4);
            let other = Place {
                longitude: center.longitude + (other.longitude - center.longitude) * nearness,
                latitude: center.latitude + (other.latitude - center.latitude) * nearness,
            };
            let size = random.f64() * 2000.0;
            let form = if random.bool() {
                Form::Circle { radius: size }
            } else {
                Form::Box { width: size, height: random.f64() * 2000.0 }
            };
            let shape = Shape { center, unit_m: 1000.0, form };
            // Beyond the date line stock does not look.
            let [west, _, east, _] = shape.bounds();
            if shape.distance_m(other).is_some() && west > -180.0 && east < 180.0 {
                let score = other.score();
                let inside = |cell: Cell| (cell.scores().0..cell.scores().1).contains(&score);
                assert!(shape.cells().any(inside), "{shape:?} {other:?}");
            }
        }
    }
}
