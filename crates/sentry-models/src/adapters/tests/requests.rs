//! What is sent in every format, to the letter.

use sentry_contract::request::{Family, Transport};
use serde_json::{Value, json};

use super::{input, prepare, sent, user};

fn own(family: Family, model_id: &str, messages: &Value, parameters: &Value) -> Value {
    sent(prepare(&input(family, model_id, Transport::InvokeModel, messages, parameters), 9).unwrap())
}

fn turns() -> Value {
    json!([
        {"role": "user", "content": "One."},
        {"role": "user", "content": "Two."},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": "Four."}
    ])
}

fn with_system() -> Value {
    let mut messages = vec![json!({"role": "system", "content": "Be brief."})];
    messages.extend(turns().as_array().unwrap().clone());
    messages.push(json!({"role": "system", "content": "Be kind."}));
    json!(messages)
}

/// Parameters without the names in `left_out`.
fn parameters(left_out: &[&str]) -> Value {
    let mut all = json!({"temperature": 0.5, "top_p": 0.25, "top_k": 50, "stop_sequences": ["END"]});
    left_out.iter().for_each(|name| drop(all.as_object_mut().unwrap().remove(*name)));
    all
}

#[test]
fn a_plain_question_is_sent_with_max_tokens_and_nothing_else() {
    let blocks = json!([{"role": "user", "content": [{"text": "Hi"}]}]);
    let chat = json!([{"role": "user", "content": "Hi"}]);
    let claude = json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]);
    let llama = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
    let cases = [
        (
            Family::Anthropic,
            "anthropic.claude-3-haiku-20240307-v1:0",
            json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": claude}),
        ),
        (
            Family::AnthropicText,
            "anthropic.claude-v2",
            json!({"prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 9}),
        ),
        (Family::Nova, "amazon.nova-pro-v1:0", json!({"messages": blocks, "inferenceConfig": {"maxTokens": 9}})),
        (
            Family::Titan,
            "amazon.titan-text-lite-v1",
            json!({"inputText": "User: Hi\nBot:", "textGenerationConfig": {"maxTokenCount": 9}}),
        ),
        (Family::Llama, "meta.llama3-8b-instruct-v1:0", json!({"prompt": llama, "max_gen_len": 9})),
        (
            Family::Mistral,
            "mistral.mistral-7b-instruct-v0:2",
            json!({"prompt": "<s>[INST] Hi [/INST]", "max_tokens": 9}),
        ),
        (Family::Mistral, "mistral.mistral-large-2402-v1:0", json!({"messages": chat, "max_tokens": 9})),
        (Family::Cohere, "cohere.command-text-v14", json!({"prompt": "Hi", "max_tokens": 9})),
        (Family::Cohere, "cohere.command-r-v1:0", json!({"message": "Hi", "max_tokens": 9})),
        (Family::Jamba, "ai21.jamba-1-5-mini-v1:0", json!({"messages": chat, "max_tokens": 9})),
        (
            Family::Deepseek,
            "us.deepseek.r1-v1:0",
            json!({"prompt": "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\n", "max_tokens": 9}),
        ),
        (Family::GptOss, "openai.gpt-oss-20b-1:0", json!({"messages": chat, "max_completion_tokens": 9})),
        (Family::Qwen, "qwen.qwen3-32b-v1:0", json!({"messages": chat, "max_tokens": 9})),
    ];
    for (family, model_id, body) in cases {
        assert_eq!(own(family, model_id, &user("Hi"), &json!({})), body, "{model_id}");
        let converse = input(family, model_id, Transport::Converse, &user("Hi"), &json!({}));
        let body = json!({"messages": blocks, "inferenceConfig": {"maxTokens": 9}, "requestMetadata": {"applicationId": "helper"}});
        assert_eq!(sent(prepare(&converse, 9).unwrap()), body, "{model_id}");
    }
}

#[test]
fn converse_carries_everything_and_top_k_in_the_familys_spelling() {
    let cases = [
        (Family::Anthropic, "anthropic.claude-3-haiku-20240307-v1:0", json!({"top_k": 50})),
        (Family::AnthropicText, "anthropic.claude-v2", json!({"top_k": 50})),
        (Family::Nova, "amazon.nova-pro-v1:0", json!({"inferenceConfig": {"topK": 50}})),
        (Family::Cohere, "cohere.command-r-v1:0", json!({"k": 50})),
    ];
    for (family, model_id, additional) in cases {
        let request = input(family, model_id, Transport::Converse, &with_system(), &parameters(&[]));
        let body = json!({
            "system": [{"text": "Be brief."}, {"text": "Be kind."}],
            "messages": [
                {"role": "user", "content": [{"text": "One."}, {"text": "Two."}]},
                {"role": "assistant", "content": [{"text": "Three."}]},
                {"role": "user", "content": [{"text": "Four."}]}
            ],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
            "additionalModelRequestFields": additional,
            "requestMetadata": {"applicationId": "helper"}
        });
        assert_eq!(sent(prepare(&request, 9).unwrap()), body, "{model_id}");
    }
    let mixtral =
        input(Family::Mistral, "mistral.mixtral-8x7b-instruct-v0:1", Transport::Converse, &turns(), &parameters(&[]));
    assert_eq!(sent(prepare(&mixtral, 9).unwrap())["additionalModelRequestFields"], json!({"top_k": 50}));
}

#[test]
fn claude_and_nova_carry_everything_in_their_own_formats() {
    let block = |text: &str| json!({"type": "text", "text": text});
    let body = json!({
        "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "system": [block("Be brief."), block("Be kind.")],
        "messages": [
            {"role": "user", "content": [block("One."), block("Two.")]},
            {"role": "assistant", "content": [block("Three.")]},
            {"role": "user", "content": [block("Four.")]}
        ],
        "temperature": 0.5, "top_p": 0.25, "top_k": 50, "stop_sequences": ["END"]
    });
    assert_eq!(
        own(Family::Anthropic, "anthropic.claude-3-haiku-20240307-v1:0", &with_system(), &parameters(&[])),
        body
    );
    let body = json!({
        "system": [{"text": "Be brief."}, {"text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [{"text": "One."}, {"text": "Two."}]},
            {"role": "assistant", "content": [{"text": "Three."}]},
            {"role": "user", "content": [{"text": "Four."}]}
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "topK": 50, "stopSequences": ["END"]}
    });
    assert_eq!(own(Family::Nova, "amazon.nova-pro-v1:0", &with_system(), &parameters(&[])), body);
    let prompt = "Be brief.\n\nBe kind.\n\nHuman: One.\n\nTwo.\n\nAssistant: Three.\n\nHuman: Four.\n\nAssistant:";
    let body = json!({"prompt": prompt, "max_tokens_to_sample": 9, "temperature": 0.5, "top_p": 0.25, "top_k": 50, "stop_sequences": ["END"]});
    assert_eq!(own(Family::AnthropicText, "anthropic.claude-v2", &with_system(), &parameters(&[])), body);
}

#[test]
fn text_formats_carry_a_conversation_in_their_template() {
    let titan = json!({
        "inputText": "User: One.\n\nTwo.\nBot: Three.\nUser: Four.\nBot:",
        "textGenerationConfig": {"maxTokenCount": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]}
    });
    assert_eq!(own(Family::Titan, "amazon.titan-text-lite-v1", &turns(), &parameters(&["top_k"])), titan);
    let said = |start: &str, end: &str, eot: &str| {
        let turn = |role: &str, text: &str| format!("{start}{role}{end}\n\n{text}{eot}");
        let system = turn("system", "Be brief.\n\nBe kind.");
        let turns = [turn("user", "One.\n\nTwo."), turn("assistant", "Three."), turn("user", "Four.")].concat();
        json!({"prompt": format!("<|begin_of_text|>{system}{turns}{start}assistant{end}\n\n"), "max_gen_len": 9, "temperature": 0.5, "top_p": 0.25})
    };
    let limited = parameters(&["top_k", "stop_sequences"]);
    let llama3 = said("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>");
    assert_eq!(own(Family::Llama, "meta.llama3-8b-instruct-v1:0", &with_system(), &limited), llama3);
    let llama4 = said("<|header_start|>", "<|header_end|>", "<|eot|>");
    assert_eq!(own(Family::Llama, "us.meta.llama4-scout-17b-instruct-v1:0", &with_system(), &limited), llama4);
    let mistral = json!({
        "prompt": "<s>[INST] One.\n\nTwo. [/INST] Three.</s> [INST] Four. [/INST]",
        "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "top_k": 50, "stop": ["END"]
    });
    assert_eq!(own(Family::Mistral, "mistral.mistral-7b-instruct-v0:2", &turns(), &parameters(&[])), mistral);
    let deepseek = json!({
        "prompt": "<｜begin▁of▁sentence｜>Be brief.\n\nBe kind.<｜User｜>One.\n\nTwo.<｜Assistant｜>Three.<｜end▁of▁sentence｜><｜User｜>Four.<｜Assistant｜><think>\n",
        "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop": ["END"]
    });
    assert_eq!(own(Family::Deepseek, "us.deepseek.r1-v1:0", &with_system(), &parameters(&["top_k"])), deepseek);
}

#[test]
fn chat_formats_carry_system_text_and_turns() {
    let messages = json!([
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "One.\n\nTwo."},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": "Four."}
    ]);
    let chat = json!({"messages": messages, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop": ["END"]});
    for (family, model_id) in [(Family::Jamba, "ai21.jamba-1-5-large-v1:0"), (Family::Qwen, "qwen.qwen3-32b-v1:0")] {
        assert_eq!(own(family, model_id, &with_system(), &parameters(&["top_k"])), chat);
    }
    let gpt =
        json!({"messages": messages, "max_completion_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop": ["END"]});
    assert_eq!(own(Family::GptOss, "openai.gpt-oss-120b-1:0", &with_system(), &parameters(&["top_k"])), gpt);
    let mistral = json!({"messages": messages, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25});
    let limited = parameters(&["top_k", "stop_sequences"]);
    assert_eq!(own(Family::Mistral, "mistral.mistral-large-2407-v1:0", &with_system(), &limited), mistral);
    let command_r = json!({
        "message": "Four.", "preamble": "Be brief.\n\nBe kind.",
        "chat_history": [{"role": "USER", "message": "One.\n\nTwo."}, {"role": "CHATBOT", "message": "Three."}],
        "max_tokens": 9, "temperature": 0.5, "p": 0.25, "k": 50, "stop_sequences": ["END"]
    });
    assert_eq!(own(Family::Cohere, "cohere.command-r-v1:0", &with_system(), &parameters(&[])), command_r);
    let command =
        json!({"prompt": "Hi", "max_tokens": 9, "temperature": 0.5, "p": 0.25, "k": 50, "stop_sequences": ["END"]});
    assert_eq!(own(Family::Cohere, "cohere.command-text-v14", &user("Hi"), &parameters(&[])), command);
}

#[test]
fn a_begun_answer_is_left_open() {
    let begun = json!([{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two"}]);
    for (family, model_id, field, end) in [
        (Family::AnthropicText, "anthropic.claude-v2", "prompt", "\n\nAssistant: One, two"),
        (Family::Titan, "amazon.titan-text-lite-v1", "inputText", "\nBot: One, two"),
        (Family::Llama, "meta.llama3-8b-instruct-v1:0", "prompt", "assistant<|end_header_id|>\n\nOne, two"),
        (Family::Mistral, "mistral.mistral-7b-instruct-v0:2", "prompt", "[/INST] One, two"),
        (Family::Deepseek, "us.deepseek.r1-v1:0", "prompt", "<｜Assistant｜>One, two"),
    ] {
        let body = own(family, model_id, &begun, &json!({}));
        assert!(body[field].as_str().unwrap().ends_with(end), "{body}");
    }
}
