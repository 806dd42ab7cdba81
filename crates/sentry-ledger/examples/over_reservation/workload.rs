//! What clients send: kinds of requests, how long prompts and answers are, and which `max_tokens` clients give.
//!
//! An assumption, written down before anything was computed from it. Its shape follows the Azure LLM inference traces of
//! 2023 (<https://github.com/Azure/AzurePublicDataset>, CC-BY): conversations have a median of about 1,000 prompt and 130
//! answer tokens with a wide spread, programmers about 1,500 prompt tokens. The traces say nothing about `max_tokens`; the
//! three habits below are guesses.

use fastrand::Rng;

/// Tokens that a chat template really adds to a message, beside its text.
const TEMPLATE_TOKENS: u64 = 4;
/// What the sentry's bound allows for a message and for a request, see `fn-validate-and-tag`.
const BOUND_MESSAGE: u64 = 16;
const BOUND_REQUEST: u64 = 64;

/// A kind of request. Lengths in tokens are log-normal: median, and standard deviation of the logarithm.
pub struct Kind {
    /// For the table.
    pub name: &'static str,
    /// Of a hundred requests.
    pub share: u32,
    prompt: (f64, f64),
    answer: (f64, f64),
    messages: u64,
    /// Hundredths of a byte in a token: English has about 4.2, source code about 3.2.
    centibytes: u64,
    /// What a careful client gives: the power of two above nine in ten answers.
    careful: u32,
}

/// All kinds.
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
/// Of a hundred clients: so many are careful, so many give [`GENEROUS`], the rest give nothing.
pub const CAREFUL_SHARE: u32 = 30;
/// See [`CAREFUL_SHARE`].
pub const GENEROUS_SHARE: u32 = 30;
/// What a client gives who does not want to think about it.
pub const GENEROUS: u32 = 4_096;

/// One request, with what only its answer tells.
#[derive(Clone)]
pub struct Request {
    /// Place of its kind in [`KINDS`].
    pub kind: usize,
    /// The bound on its input that follows from its bytes.
    pub bound: u64,
    /// The tokens that its input really has, which is what CountTokens says.
    pub input: u64,
    /// The tokens that its answer has if nothing cuts it short.
    pub answer: u32,
    /// What the client gives.
    pub max_tokens: Option<u32>,
}

/// `count` requests; the same for the same seed.
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

/// A whole number of tokens, at least one, at most 100,000.
fn log_normal(random: &mut Rng, (median, deviation): (f64, f64)) -> u64 {
    // Box and Muller's method; 1 - f64() is never zero.
    let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
    (median * (deviation * normal).exp()).round().clamp(1.0, 100_000.0) as u64
}
