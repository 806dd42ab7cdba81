//! The requests of clients: their kinds, the lengths of prompts and answers, and the `max_tokens` that clients give.
//!
//! The workload is an assumption that was written down before anything was computed from it. Its shape follows the
//! Azure LLM inference traces of 2023 (<https://github.com/Azure/AzurePublicDataset>, CC-BY). Conversations have a
//! median of about 1,000 prompt tokens and 130 answer tokens with a wide spread, and programmers have about 1,500
//! prompt tokens. The traces say nothing about `max_tokens`, so the three habits below are guesses.

use fastrand::Rng;

/// Tokens that a chat template really adds to a message, in addition to its text.
const TEMPLATE_TOKENS: u64 = 4;
// Tokens that the sentry's bound allows for a message and for a request, see `fn-validate-and-tag`.
const BOUND_MESSAGE: u64 = 16;
const BOUND_REQUEST: u64 = 64;

/// A kind of request. Lengths in tokens are log-normal, given by the median and the standard deviation of the
/// logarithm.
pub struct Kind {
    /// Name for the table.
    pub name: &'static str,
    /// Share of the requests, in percent.
    pub share: u32,
    prompt: (f64, f64),
    answer: (f64, f64),
    messages: u64,
    /// Hundredths of a byte per token. English has about 4.2 bytes per token, source code about 3.2.
    centibytes: u64,
    /// The `max_tokens` of a careful client: the power of two above nine in ten answers.
    careful: u32,
}

/// All kinds of requests.
pub const KINDS: [Kind; 4] = [
    Kind {
        name: "short chat",
        share: 45,
        prompt: (400.0, 0.8),
        answer: (200.0, 0.7),
        messages: 4,
        centibytes: 420,
        careful: 512,
    },
    Kind {
        name: "answer from documents",
        share: 25,
        prompt: (3_000.0, 0.5),
        answer: (250.0, 0.6),
        messages: 2,
        centibytes: 420,
        careful: 1_024,
    },
    Kind {
        name: "summary",
        share: 15,
        prompt: (5_000.0, 0.6),
        answer: (350.0, 0.4),
        messages: 2,
        centibytes: 420,
        careful: 1_024,
    },
    Kind {
        name: "code",
        share: 15,
        prompt: (2_000.0, 0.9),
        answer: (500.0, 0.9),
        messages: 4,
        centibytes: 320,
        careful: 2_048,
    },
];
/// Percentage of clients that are careful. [`GENEROUS_SHARE`] percent give [`GENEROUS`], and the rest give nothing.
pub const CAREFUL_SHARE: u32 = 30;
/// Percentage of clients that give [`GENEROUS`].
pub const GENEROUS_SHARE: u32 = 30;
/// The `max_tokens` of a client that does not want to think about it.
pub const GENEROUS: u32 = 4_096;

/// One request, including the numbers that only its answer shows.
#[derive(Clone)]
pub struct Request {
    /// Position of its kind in [`KINDS`].
    pub kind: usize,
    /// The bound on its input tokens that follows from its bytes.
    pub bound: u64,
    /// The real number of its input tokens, as `CountTokens` returns it.
    pub input: u64,
    /// The tokens of its answer if nothing cuts it short.
    pub answer: u32,
    /// The `max_tokens` of the client.
    pub max_tokens: Option<u32>,
}

/// `count` requests. They are the same for the same seed.
pub fn requests(seed: u64, count: usize) -> Vec<Request> {
    let mut random = Rng::with_seed(seed);
    (0..count).map(|_| request(&mut random)).collect()
}

fn request(random: &mut Rng) -> Request {
    let mut draw = random.u32(0..100);
    let mut place = 0;
    for (number, kind) in KINDS.iter().enumerate() {
        place = number;
        if draw < kind.share {
            break;
        }
        draw -= kind.share;
    }
    let kind = &KINDS[place];
    let text = log_normal(random, kind.prompt);
    let max_tokens = match random.u32(0..100) {
        habit if habit < CAREFUL_SHARE => Some(kind.careful),
        habit if habit < CAREFUL_SHARE + GENEROUS_SHARE => Some(GENEROUS),
        _ => None,
    };
    Request {
        kind: place,
        bound: text * kind.centibytes / 100 + kind.messages * BOUND_MESSAGE + BOUND_REQUEST,
        input: text + kind.messages * TEMPLATE_TOKENS,
        answer: u32::try_from(log_normal(random, kind.answer)).unwrap(),
        max_tokens,
    }
}

/// A random whole number of tokens, from 1 to 100,000.
fn log_normal(random: &mut Rng, (median, deviation): (f64, f64)) -> u64 {
    // The Box–Muller method. 1 - f64() is never zero.
    let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 100,000")]
    let tokens = (median * (deviation * normal).exp()).round().clamp(1.0, 100_000.0) as u64;
    tokens
}
