//! Places on the earth: sorted sets whose scores are places. GEOADD, GEODIST, GEOHASH, GEOPOS.

use super::arguments::is;
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::double::number;
use super::geo_hash::Place;
use super::zset::{AddOptions, Pairs, READ_KEY, add_all};
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::Zset;

/// What the declarations of the family share.
pub(super) const OF_PLACES: Command = Command { group: Group::Geo, ..Command::DEFAULT };

/// Longitude and latitude.
///
/// # Errors
/// They are no numbers, or the place is not on the map.
pub(super) fn place(longitude: &[u8], latitude: &[u8]) -> Result<Place, CommandError> {
    let place = Place { longitude: number(longitude)?, latitude: number(latitude)? };
    if place.is_on_map() {
        return Ok(place);
    }
    let Place { longitude, latitude } = place;
    Err(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into())
}

/// How many meters a unit has.
///
/// # Errors
/// There is no such unit.
pub(super) fn unit_m(word: &[u8]) -> Result<f64, CommandError> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let unit = UNITS.into_iter().find(|(name, _)| is(word, name));
    unit.map(|(_, meters)| meters)
        .ok_or(CommandError::new("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Writes a distance, with four digits behind the point.
pub(super) fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    // Rounded as 7.2 does: by scaling, ties to even.
    let scaled = (distance * 10_000.0).round_ties_even();
    if scaled.abs() < 9e15 {
        reply.bulk(format!("{:.4}", scaled / 10_000.0).as_bytes());
    } else {
        reply.bulk(format!("{distance:.4}").as_bytes());
    }
}

/// Writes longitude and latitude.
pub(super) fn write_place(reply: &mut Reply<'_>, place: Place) {
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        if reply.is_resp3() {
            reply.raw(format!(",{text}\r\n").as_bytes());
        } else {
            reply.bulk(text.as_bytes());
        }
    }
}

const GEOADD: Command = Command {
    name: "geoadd",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    since: "3.2.0",
    summary: "Adds members with their places to a sorted set, or gives members other places.",
    complexity: "O(log(N)) for each member, with N the members there are",
    syntax: "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
    run: geoadd,
    ..OF_PLACES
};

fn geoadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut options = AddOptions::default();
    let take = |word: &&[u8]| {
        let option = [("NX", 0), ("XX", 1), ("CH", 2)].into_iter().find(|(name, _)| is(word, name));
        match option {
            Some((_, 0)) => options.nx = true,
            Some((_, 1)) => options.xx = true,
            Some(_) => options.ch = true,
            None => return false,
        }
        true
    };
    let words = args.iter_from(2).take_while(take).count();
    let count = args.len() - 2 - words;
    if !count.is_multiple_of(3) || count == 0 || (options.nx && options.xx) {
        return Err(errors::SYNTAX);
    }
    let mut pairs = Pairs::new();
    let mut rest = args.iter_from(2 + words);
    while let (Some(longitude), Some(latitude), Some(member)) =
        (rest.next(), rest.next(), rest.next())
    {
        pairs.push((place(longitude, latitude)?.score(), member));
    }
    let done = add_all(ctx, &args[1], options, &pairs)?;
    if done.added + done.updated > 0 {
        log_as_zadd(ctx, args, words, &pairs);
    }
    ctx.reply.len(done.added + if options.ch { done.updated } else { 0 });
    Ok(())
}

/// The log sees a ZADD of the scores that the places became.
fn log_as_zadd(ctx: &mut Context<'_>, args: Args<'_>, words: usize, pairs: &[(f64, &[u8])]) {
    let db = ctx.db();
    ctx.no_effect();
    let count = 2 + words + 2 * pairs.len();
    ctx.state.keyspace.effects.push_with(db, count, |effect| {
        effect.arg(b"zadd");
        args.iter_from(1).take(1 + words).for_each(|word| effect.arg(word));
        for &(score, member) in pairs {
            effect.arg(format!("{score:.0}").as_bytes());
            effect.arg(member);
        }
    });
}

const GEODIST: Command = Command {
    name: "geodist",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Readonly],
    keys: READ_KEY,
    since: "3.2.0",
    summary: "Returns how far two members are from each other.",
    complexity: "O(1)",
    syntax: "key member1 member2 [M | KM | FT | MI]",
    run: geodist,
    ..OF_PLACES
};

fn geodist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let unit_m = match args.get(4) {
        None => 1.0,
        Some(word) if args.len() == 5 => unit_m(word)?,
        Some(_) => return Err(errors::SYNTAX),
    };
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    let place = |member| zset.and_then(|zset| zset.score(member)).map(Place::of_score);
    match place(&args[2]).zip(place(&args[3])) {
        Some((one, other)) => write_distance(&mut ctx.reply, one.distance_m(other) / unit_m),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// Hands the place of each member to `write`.
fn for_each_place(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    write: impl Fn(&mut Reply<'_>, Option<Place>),
) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        let score = zset.and_then(|zset| zset.score(member));
        write(&mut ctx.reply, score.map(Place::of_score));
    }
    Ok(())
}

const GEOHASH: Command = Command {
    name: "geohash",
    arity: Arity::AtLeast(2),
    summary: "Returns the places of members as geohashes of eleven letters.",
    complexity: "O(N) with N the members given",
    syntax: "key [member [member ...]]",
    run: geohash,
    ..GEODIST
};

fn geohash(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    for_each_place(ctx, args, |reply, place| match place {
        Some(place) => reply.bulk(&place.letters()),
        None => reply.nil(),
    })
}

const GEOPOS: Command = Command {
    name: "geopos",
    arity: Arity::AtLeast(2),
    summary: "Returns longitude and latitude of members.",
    complexity: "O(N) with N the members given",
    syntax: "key [member [member ...]]",
    run: geopos,
    ..GEODIST
};

fn geopos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    for_each_place(ctx, args, |reply, place| match place {
        Some(place) => write_place(reply, place),
        None => reply.nil_array(),
    })
}

/// Adding and asking.
pub const COMMANDS: &[Command] = &[GEOADD, GEODIST, GEOHASH, GEOPOS];
