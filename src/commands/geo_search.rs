//! Places on the earth: who is near. GEOSEARCH, GEOSEARCHSTORE, GEORADIUS, GEORADIUSBYMEMBER and their read-only forms.

use super::arguments::{integer, is};
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Find, Flag, KeyFlag, KeySpec, key};
use super::context::Context;
use super::double::number_or;
use super::geo::{OF_PLACES, place, unit_m, write_distance, write_place};
use super::geo_hash::Place;
use super::geo_shape::{Form, Shape};
use super::zset::{READ_KEY, write_member};
use super::zset_range::store;
use crate::resp::{Args, CommandError, Reply, errors, quoted};
use crate::types::{Member, ScoreBound, ScoreRange, Zset, member_bytes};

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// GEORADIUS: the center is given. With `stores` it may store the result.
    Radius {
        stores: bool,
    },
    /// GEORADIUSBYMEMBER.
    RadiusByMember {
        stores: bool,
    },
    Search,
    SearchStore,
}

impl Kind {
    /// Where the sorted set is named.
    fn source_at(self) -> usize {
        if self == Kind::SearchStore { 2 } else { 1 }
    }

    /// The first option.
    fn options_at(self) -> usize {
        match self {
            Kind::Radius { .. } => 6,
            Kind::RadiusByMember { .. } => 5,
            Kind::Search => 2,
            Kind::SearchStore => 3,
        }
    }

    fn is_search(self) -> bool {
        matches!(self, Kind::Search | Kind::SearchStore)
    }

    fn may_store(self) -> bool {
        matches!(self, Kind::Radius { stores: true } | Kind::RadiusByMember { stores: true })
    }
}

/// In which order places are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// A request of the family.
#[derive(Debug, Default)]
struct Request<'a> {
    center: Option<Place>,
    /// The center is that of a member, which may not be there if there is no sorted set.
    by_member: bool,
    /// Meters of a unit, and the form in it.
    form: Option<(f64, Form)>,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    order: Option<Order>,
    /// 0: all.
    count: u64,
    any: bool,
    target: Option<&'a [u8]>,
    /// Distances are stored, not places.
    stores_distance: bool,
}

fn member_place(zset: Option<&Zset>, member: &[u8]) -> Result<Option<Place>, CommandError> {
    const UNKNOWN: CommandError = CommandError::new("ERR could not decode requested zset member");
    let Some(zset) = zset else { return Ok(None) };
    zset.score(member).map(|score| Some(Place::of_score(score))).ok_or(UNKNOWN)
}

fn circle(radius: &[u8], unit: &[u8]) -> Result<(f64, Form), CommandError> {
    let radius = number_or(radius, "ERR need numeric radius".into())?;
    if radius < 0.0 {
        return Err("ERR radius cannot be negative".into());
    }
    Ok((unit_m(unit)?, Form::Circle { radius }))
}

fn rectangle(width: &[u8], height: &[u8], unit: &[u8]) -> Result<(f64, Form), CommandError> {
    let width = number_or(width, "ERR need numeric width".into())?;
    let height = number_or(height, "ERR need numeric height".into())?;
    if width < 0.0 || height < 0.0 {
        return Err("ERR height or width cannot be negative".into());
    }
    Ok((unit_m(unit)?, Form::Box { width, height }))
}

impl<'a> Request<'a> {
    fn parse(kind: Kind, args: Args<'a>, zset: Option<&Zset>) -> Result<Self, CommandError> {
        let mut request = Request::default();
        match kind {
            Kind::Radius { .. } => {
                request.center = Some(place(&args[2], &args[3])?);
                request.form = Some(circle(&args[4], &args[5])?);
            }
            Kind::RadiusByMember { .. } => {
                request.center = member_place(zset, &args[2])?;
                if zset.is_some() {
                    request.form = Some(circle(&args[3], &args[4])?);
                }
            }
            Kind::Search => {}
            Kind::SearchStore => request.target = args.get(1),
        }
        let mut next = kind.options_at();
        while let Some(word) = args.get(next) {
            next += 1 + request.option(kind, args, word, next + 1, zset)?;
        }
        request.check(kind, args)?;
        Ok(request)
    }

    /// Takes the option `word`, whose values begin at `at`; returns how many of these it took.
    fn option(
        &mut self,
        kind: Kind,
        args: Args<'a>,
        word: &[u8],
        at: usize,
        zset: Option<&Zset>,
    ) -> Result<usize, CommandError> {
        let left = args.len() - at;
        if is(word, "WITHDIST") {
            self.with_distance = true;
        } else if is(word, "WITHHASH") {
            self.with_hash = true;
        } else if is(word, "WITHCOORD") {
            self.with_place = true;
        } else if is(word, "ANY") {
            self.any = true;
        } else if is(word, "ASC") {
            self.order = Some(Order::Nearest);
        } else if is(word, "DESC") {
            self.order = Some(Order::Farthest);
        } else if is(word, "COUNT") && left >= 1 {
            let count = u64::try_from(integer(&args[at])?).ok().filter(|&count| count > 0);
            self.count = count.ok_or(CommandError::new("ERR COUNT must be > 0"))?;
            return Ok(1);
        } else if kind.may_store() && (is(word, "STORE") || is(word, "STOREDIST")) && left >= 1 {
            self.target = args.get(at);
            self.stores_distance = is(word, "STOREDIST");
            return Ok(1);
        } else if kind.is_search() {
            return self.search_option(kind, args, word, at, zset);
        } else {
            return Err(errors::SYNTAX);
        }
        Ok(0)
    }

    /// The options of GEOSEARCH and GEOSEARCHSTORE alone.
    fn search_option(
        &mut self,
        kind: Kind,
        args: Args<'a>,
        word: &[u8],
        at: usize,
        zset: Option<&Zset>,
    ) -> Result<usize, CommandError> {
        let left = args.len() - at;
        let (circle_given, box_given) = match self.form {
            Some((_, Form::Circle { .. })) => (true, false),
            Some((_, Form::Box { .. })) => (false, true),
            None => (false, false),
        };
        let place_given = self.center.is_some() && !self.by_member;
        if is(word, "FROMMEMBER") && left >= 1 && !place_given {
            self.center = member_place(zset, &args[at])?;
            self.by_member = true;
            Ok(1)
        } else if is(word, "FROMLONLAT") && left >= 2 && !self.by_member {
            self.center = Some(place(&args[at], &args[at + 1])?);
            Ok(2)
        } else if is(word, "BYRADIUS") && left >= 2 && !box_given {
            self.form = Some(circle(&args[at], &args[at + 1])?);
            Ok(2)
        } else if is(word, "BYBOX") && left >= 3 && !circle_given {
            self.form = Some(rectangle(&args[at], &args[at + 1], &args[at + 2])?);
            Ok(3)
        } else if kind == Kind::SearchStore && is(word, "STOREDIST") {
            self.stores_distance = true;
            Ok(0)
        } else {
            Err(errors::SYNTAX)
        }
    }

    fn check(&self, kind: Kind, args: Args<'_>) -> Result<(), CommandError> {
        let shows = self.with_distance || self.with_hash || self.with_place;
        if self.target.is_some() && shows {
            let who = if kind == Kind::SearchStore {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            let with = "WITHDIST, WITHHASH and WITHCOORD options";
            return Err(format!("ERR {who} is not compatible with {with}").into());
        }
        let name = || quoted(&args[0]);
        if kind.is_search() && self.center.is_none() && !self.by_member {
            let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for";
            return Err(format!("{text} {}", name()).into());
        }
        if kind.is_search() && self.form.is_none() {
            let text = "ERR exactly one of BYRADIUS and BYBOX can be specified for";
            return Err(format!("{text} {}", name()).into());
        }
        if self.any && self.count == 0 {
            return Err("ERR the ANY argument requires COUNT argument".into());
        }
        Ok(())
    }
}

/// A member that was found.
#[derive(Clone, Copy, Debug)]
struct Found<'k> {
    member: Member<'k>,
    score: f64,
    place: Place,
    /// In the request's unit.
    distance: f64,
}

/// The members in `shape`; at least `enough` of them (0: all), if there are so many, but not many more.
fn members_in<'k>(zset: &'k Zset, shape: &Shape, enough: u64) -> Vec<Found<'k>> {
    let mut found = Vec::new();
    let mut last = None;
    for (index, cell) in shape.cells().enumerate() {
        // Around a very large shape the same cell may come twice in a row.
        if last == Some(cell) {
            continue;
        }
        let is_enough = |found: &Vec<_>| enough > 0 && found.len() as u64 >= enough;
        if is_enough(&found) {
            break;
        }
        let (min, max) = cell.scores();
        let ranks = zset.score_range(&ScoreRange {
            min: ScoreBound { score: min, exclusive: false },
            max: ScoreBound { score: max, exclusive: true },
        });
        for (member, score) in zset.range(ranks, false) {
            let place = Place::of_score(score);
            if let Some(distance_m) = shape.distance_m(place) {
                let distance = distance_m / shape.unit_m;
                found.push(Found { member, score, place, distance });
                if is_enough(&found) {
                    break;
                }
            }
        }
        // The cell in the middle is not compared with, as in stock.
        last = (index > 0).then_some(cell);
    }
    found
}

fn search(ctx: &mut Context<'_>, args: Args<'_>, kind: Kind) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[kind.source_at()]));
    let limits = ctx.state.keyspace.settings.limits;
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    let request = Request::parse(kind, args, zset)?;
    let event = if kind == Kind::SearchStore { "geosearchstore" } else { "georadiusstore" };
    let (Some(zset), Some(center), Some((unit_m, form))) = (zset, request.center, request.form)
    else {
        match request.target {
            Some(target) => store(ctx, target, Zset::new(), event),
            None => ctx.reply.array(0),
        }
        return Ok(());
    };
    let shape = Shape { center, unit_m, form };
    let mut found = members_in(zset, &shape, if request.any { request.count } else { 0 });
    // The nearest are meant where only some are wanted.
    let some = request.count != 0 && !request.any;
    match request.order.or(some.then_some(Order::Nearest)) {
        Some(Order::Nearest) => found.sort_by(|one, other| one.distance.total_cmp(&other.distance)),
        Some(Order::Farthest) => {
            found.sort_by(|one, other| other.distance.total_cmp(&one.distance))
        }
        None => {}
    }
    if request.count != 0 {
        found.truncate(usize::try_from(request.count).unwrap_or(usize::MAX));
    }
    let Some(target) = request.target else {
        write_found(&mut ctx.reply, &request, &found);
        return Ok(());
    };
    let mut result = Zset::new();
    for one in found {
        let score = if request.stores_distance { one.distance } else { one.score };
        result.insert(member_bytes(one.member, &mut itoa::Buffer::new()), score, &limits);
    }
    let len = result.len();
    store(ctx, target, result, event);
    ctx.count_changes(len);
    Ok(())
}

fn write_found(reply: &mut Reply<'_>, request: &Request<'_>, found: &[Found<'_>]) {
    let shown = [request.with_distance, request.with_hash, request.with_place];
    let extra = shown.into_iter().filter(|shown| *shown).count();
    reply.array(found.len());
    for one in found {
        if extra > 0 {
            reply.array(1 + extra);
        }
        write_member(reply, one.member);
        if request.with_distance {
            write_distance(reply, one.distance);
        }
        if request.with_hash {
            reply.int(as_integer(one.score));
        }
        if request.with_place {
            write_place(reply, one.place);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is no place may show as anything")]
fn as_integer(score: f64) -> i64 {
    score as i64
}

const COST: &str =
    "O(N+log(M)) with N the members in the cells around the shape and M those inside it";

const GEOSEARCH: Command = Command {
    name: "geosearch",
    arity: Arity::AtLeast(7),
    flags: &[Flag::Readonly],
    keys: READ_KEY,
    since: "6.2.0",
    summary: "Returns the members in a circle or box.",
    complexity: COST,
    syntax: "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | \
             BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
    run: |ctx, args| search(ctx, args, Kind::Search),
    ..OF_PLACES
};

const GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    arity: Arity::AtLeast(8),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Update]), key(2, &[KeyFlag::Ro, KeyFlag::Access])],
    summary: "Stores the members in a circle or box at a key.",
    syntax: "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> \
             <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] \
             [COUNT count [ANY]] [STOREDIST]",
    run: |ctx, args| search(ctx, args, Kind::SearchStore),
    ..GEOSEARCH
};

const STORED: &[KeyFlag] = &[KeyFlag::Ow, KeyFlag::Update];

const GEORADIUS: Command = Command {
    name: "georadius",
    arity: Arity::AtLeast(6),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[
        key(1, &[KeyFlag::Ro, KeyFlag::Access]),
        KeySpec { find: Find::Behind { word: "STORE", from: 6 }, flags: STORED },
        KeySpec { find: Find::Behind { word: "STOREDIST", from: 6 }, flags: STORED },
    ],
    since: "3.2.0",
    summary: "Returns the members in a circle around a place, or stores them at a key.",
    syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
    run: |ctx, args| search(ctx, args, Kind::Radius { stores: true }),
    ..GEOSEARCH
};

const GEORADIUS_RO: Command = Command {
    name: "georadius_ro",
    flags: &[Flag::Readonly],
    keys: READ_KEY,
    since: "3.2.10",
    summary: "Returns the members in a circle around a place.",
    syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count [ANY]] [ASC | DESC]",
    run: |ctx, args| search(ctx, args, Kind::Radius { stores: false }),
    ..GEORADIUS
};

const GEORADIUSBYMEMBER: Command = Command {
    name: "georadiusbymember",
    arity: Arity::AtLeast(5),
    keys: &[
        key(1, &[KeyFlag::Ro, KeyFlag::Access]),
        KeySpec { find: Find::Behind { word: "STORE", from: 5 }, flags: STORED },
        KeySpec { find: Find::Behind { word: "STOREDIST", from: 5 }, flags: STORED },
    ],
    summary: "Returns the members in a circle around a member, or stores them at a key.",
    syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
             [ASC | DESC] [STORE key | STOREDIST key]",
    run: |ctx, args| search(ctx, args, Kind::RadiusByMember { stores: true }),
    ..GEORADIUS
};

const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    arity: Arity::AtLeast(5),
    summary: "Returns the members in a circle around a member.",
    syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
             [ASC | DESC]",
    run: |ctx, args| search(ctx, args, Kind::RadiusByMember { stores: false }),
    ..GEORADIUS_RO
};

/// Searching.
pub const COMMANDS: &[Command] =
    &[GEOSEARCH, GEOSEARCHSTORE, GEORADIUS, GEORADIUS_RO, GEORADIUSBYMEMBER, GEORADIUSBYMEMBER_RO];
