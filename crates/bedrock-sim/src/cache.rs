//! The prompt cache. A `cachePoint` writes a prefix, and later calls read it until it expires by the simulated clock.
//!
//! Source: Bedrock user guide, "Prompt caching for faster model inference"
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>, read 2026-11-26):
//!
//! - Prefixes have the order tools, system, messages.
//! - A prefix with fewer tokens than the model's minimum is not cached, and no error is returned.
//! - A prefix lives for five minutes or one hour. Every hit restarts this time.
//! - About twenty blocks before a checkpoint are searched for a hit.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use crate::{fingerprint::fingerprint, lock::lock, tokens::Usage};

/// Number of blocks before a checkpoint that are searched for the end of an earlier prefix.
const LOOKED_BACK: usize = 20;

/// Time to live of a cached prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Five minutes: `ttl` is `5m` or absent.
    Short,
    /// One hour: `ttl` is `1h`.
    Long,
}

impl Lifetime {
    fn duration(self) -> Duration {
        match self {
            Self::Short => Duration::from_mins(5),
            Self::Long => Duration::from_hours(1),
        }
    }
}

/// A checkpoint in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePoint {
    /// Time to live that the checkpoint asks for.
    pub lifetime: Lifetime,
    /// Input tokens of everything before the checkpoint.
    pub tokens: u64,
    /// Hashes of the prefixes that end at the checkpoint and at the blocks before it, the nearest first.
    pub prefixes: Vec<u64>,
}

/// Computes the hashes of a request's prefixes, block by block.
pub struct Prefixes {
    hashes: Vec<u64>,
}

impl Prefixes {
    /// The empty prefix, which depends only on the model.
    pub fn new(model: &str) -> Self {
        Self { hashes: vec![fingerprint(model)] }
    }

    /// Extends the prefix by one block.
    pub fn push(&mut self, block: &str) {
        let before = self.hashes.last().copied().unwrap_or_default();
        self.hashes.push(fingerprint(&format!("{before:016x}{block}")));
    }

    /// The hashes for a checkpoint at this position.
    pub fn here(&self) -> Vec<u64> {
        self.hashes.iter().skip(1).rev().take(LOOKED_BACK + 1).copied().collect()
    }
}

#[derive(Clone, Copy)]
struct Entry {
    tokens: u64,
    lifetime: Lifetime,
    until: SystemTime,
}

/// Cached prefixes with their expiry times.
#[derive(Default)]
pub struct Cache {
    entries: Mutex<HashMap<u64, Entry>>,
}

impl Cache {
    /// Serves a request with these checkpoints, and returns `usage` with its input split into cached and uncached
    /// tokens. Prefixes of fewer than `least` tokens are not cached.
    pub fn serve(&self, points: &[CachePoint], least: u64, usage: Usage, now: SystemTime) -> Usage {
        let points: Vec<&CachePoint> = points.iter().filter(|point| point.tokens >= least).collect();
        let mut entries = lock(&self.entries);
        entries.retain(|_, entry| entry.until > now);
        let hit = points.iter().rev().find_map(|point| point.prefixes.iter().find(|hash| entries.contains_key(hash)));
        let mut read = 0;
        if let Some(entry) = hit.and_then(|hash| entries.get_mut(hash)) {
            entry.until = now + entry.lifetime.duration();
            read = entry.tokens;
        }
        let (mut cached, mut long) = (read, 0);
        for point in points.iter().filter(|point| point.tokens > read) {
            let written = point.tokens.saturating_sub(cached);
            cached = cached.max(point.tokens);
            if point.lifetime == Lifetime::Long {
                long += written;
            }
            let entry =
                Entry { tokens: point.tokens, lifetime: point.lifetime, until: now + point.lifetime.duration() };
            if let Some(hash) = point.prefixes.first() {
                entries.insert(*hash, entry);
            }
        }
        Usage {
            input: usage.input.saturating_sub(cached),
            cache_read: Some(read),
            cache_write: Some(cached.saturating_sub(read)),
            cache_write_long: long,
            ..usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn points(blocks: &[(&str, u64, Option<Lifetime>)]) -> Vec<CachePoint> {
        let mut prefixes = Prefixes::new("model");
        let mut points = Vec::new();
        for (block, tokens, point) in blocks {
            prefixes.push(block);
            if let Some(lifetime) = point {
                points.push(CachePoint { lifetime: *lifetime, tokens: *tokens, prefixes: prefixes.here() });
            }
        }
        points
    }

    fn serve(cache: &Cache, points: &[CachePoint], seconds: u64) -> (u64, u64, u64, u64) {
        let usage = Usage { input: 5_000, ..Usage::default() };
        let usage = cache.serve(points, 1_000, usage, START + Duration::from_secs(seconds));
        (usage.input, usage.cache_read.unwrap(), usage.cache_write.unwrap(), usage.cache_write_long)
    }

    #[test]
    fn a_written_entry_is_read_until_its_lifetime_ends() {
        let cache = Cache::default();
        let both = points(&[("tools", 1_500, Some(Lifetime::Long)), ("text", 4_000, Some(Lifetime::Short))]);
        assert_eq!(serve(&cache, &both, 0), (1_000, 0, 4_000, 1_500));
        assert_eq!(serve(&cache, &both, 299), (1_000, 4_000, 0, 0));
        assert_eq!(serve(&cache, &both, 598), (1_000, 4_000, 0, 0), "a hit begins the five minutes anew");
        assert_eq!(serve(&cache, &both, 900), (1_000, 1_500, 2_500, 0), "the hour is not over");
        assert_eq!(serve(&cache, &both, 9_000), (1_000, 0, 4_000, 1_500));
    }

    #[test]
    fn a_longer_conversation_finds_the_shorter_one_before_its_checkpoint() {
        let cache = Cache::default();
        let short = points(&[("a", 1_200, Some(Lifetime::Short))]);
        let long = points(&[("a", 1_200, None), ("b", 1_400, None), ("c", 1_700, Some(Lifetime::Short))]);
        assert_eq!(serve(&cache, &short, 0), (3_800, 0, 1_200, 0));
        assert_eq!(serve(&cache, &long, 1), (3_300, 1_200, 500, 0));
    }

    #[test]
    fn too_little_is_not_cached_and_other_prefixes_are_not_hit() {
        let cache = Cache::default();
        let little = points(&[("a", 999, Some(Lifetime::Short))]);
        assert_eq!(serve(&cache, &little, 0), (5_000, 0, 0, 0));
        assert_eq!(serve(&cache, &points(&[("a", 1_000, Some(Lifetime::Short))]), 0).2, 1_000);
        assert_eq!(serve(&cache, &points(&[("b", 1_000, Some(Lifetime::Short))]), 0).1, 0);
    }
}
