//! The CloudWatch metrics in which Bedrock counts tokens.

/// Namespace of the endpoint `bedrock-runtime`.
///
/// Source: Amazon Bedrock User Guide, "Monitor `bedrock-runtime` inference using CloudWatch metrics", read in November
/// 2026.
pub const NAMESPACE: &str = "AWS/Bedrock";
/// Dimension of [`NAMESPACE`] that names the model, or the bare id of an application inference profile.
pub const MODEL_ID: &str = "ModelId";
/// The token metrics of [`NAMESPACE`], each with the id of its query. Bedrock has two names for each metric of a prompt
/// cache. Both can have points, and the larger value counts.
pub const TOKENS: [(&str, &str); 6] = [
    ("input", "InputTokenCount"),
    ("output", "OutputTokenCount"),
    ("cacheRead", "CacheReadInputTokens"),
    ("cacheReadCount", "CacheReadInputTokenCount"),
    ("cacheWrite", "CacheWriteInputTokens"),
    ("cacheWriteCount", "CacheWriteInputTokenCount"),
];

/// Namespace of the endpoint `bedrock-mantle`.
///
/// Source: Amazon Bedrock User Guide, "Monitor `bedrock-mantle` inference using CloudWatch metrics", read in November
/// 2026.
pub const MANTLE_NAMESPACE: &str = "AWS/BedrockMantle";
/// Dimension of [`MANTLE_NAMESPACE`] that names the model.
pub const MANTLE_MODEL: &str = "Model";
/// The metric of [`MANTLE_NAMESPACE`] that counts input tokens by model.
pub const MANTLE_INPUT: &str = "TotalInputTokens";
/// The metric of [`MANTLE_NAMESPACE`] that counts output tokens by model.
pub const MANTLE_OUTPUT: &str = "TotalOutputTokens";
