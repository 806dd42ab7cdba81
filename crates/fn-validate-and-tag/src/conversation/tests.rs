//! Breaks each rule once, and checks the place that the answer names.

use serde_json::{Value, json};

use crate::tests::{request, validate};

fn user(content: impl Into<Value>) -> Value {
    json!({"role": "user", "content": content.into()})
}

fn assistant(content: impl Into<Value>) -> Value {
    json!({"role": "assistant", "content": content.into()})
}

fn asks(id: &str) -> Value {
    json!({"toolUse": {"toolUseId": id, "name": "find", "input": {}}})
}

fn gives(id: &str) -> Value {
    json!({"toolResult": {"toolUseId": id, "content": []}})
}

fn tool(name: &str) -> Value {
    json!({"toolSpec": {"name": name, "description": "", "inputSchema": {"json": {"type": "object"}}}})
}

fn point(ttl: &str) -> Value {
    json!({"cachePoint": {"type": "default", "ttl": ttl}})
}

fn document() -> Value {
    json!({"document": {"format": "txt", "name": "test_name", "source": {"text": "All is well."}}})
}

fn image() -> Value {
    json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}})
}

/// A request with these messages and with a tool.
fn with_messages(messages: Value) -> Value {
    let mut document = request();
    document["prompt"] = json!({"messages": messages, "tools": [tool("find")], "parameters": {"max_tokens": 9}});
    document
}

/// The path at which the document is refused.
fn path(document: &Value) -> String {
    let answer = validate(document);
    assert_eq!(
        (&answer["valid"], &answer["answer"]["error"]["code"]),
        (&json!(false), &json!("InvalidRequest")),
        "{answer}"
    );
    answer["answer"]["error"]["details"]["path"].as_str().unwrap().to_owned()
}

fn is_served(document: &Value) -> bool {
    validate(document)["valid"] == true
}

#[test]
fn a_conversation_starts_with_the_user() {
    assert_eq!(path(&with_messages(json!([assistant("Hello"), user("Hi")]))), "prompt.messages[0].role");
    let after_system = json!([{"role": "system", "content": "Be brief."}, assistant("Hello"), user("Hi")]);
    assert_eq!(path(&with_messages(after_system)), "prompt.messages[1].role");
    assert_eq!(path(&with_messages(json!([assistant("")]))), "prompt.messages");
}

#[test]
fn a_text_of_white_space_is_refused_by_its_place_and_left_out_where_a_model_said_it() {
    assert_eq!(path(&with_messages(json!([user(" \n")]))), "prompt.messages[0].content");
    assert_eq!(
        path(&with_messages(json!([user(json!([{"text": "a"}, {"text": " "}]))]))),
        "prompt.messages[0].content[1].text"
    );
    let history = json!([
        user("Hi"),
        assistant(""),
        user("Hello?"),
        assistant(json!([])),
        user("Where?"),
        assistant(json!([asks("t1")])),
        user(json!([gives("t1")])),
    ]);
    let mut blank = history.clone();
    blank[5]["content"] = json!([{"text": " "}, asks("t1")]);
    assert_eq!(path(&with_messages(blank)), "prompt.messages[5].content[0].text");
    let sent = validate(&with_messages(history))["request"]["prompt"]["messages"].clone();
    let expected =
        json!(
            [user("Hi"), user("Hello?"), user("Where?"), assistant(json!([asks("t1")])), user(json!([gives("t1")])),]
        );
    assert_eq!(sent, expected);
}

#[test]
fn the_answer_is_a_list_also_where_the_only_list_is_left_out() {
    let messages = |document: &Value| validate(document)["request"]["prompt"]["messages"].clone();
    let expected = json!([user(json!([{"text": "Hi"}])), user("Hello?")]);
    for silence in [json!([]), json!([{"text": " "}])] {
        assert_eq!(messages(&with_messages(json!([user("Hi"), assistant(silence), user("Hello?")]))), expected);
    }
    let texts = with_messages(json!([user("Hi"), assistant(""), user("Hello?")]));
    assert_eq!(messages(&texts), json!([user("Hi"), user("Hello?")]));
}

#[test]
fn every_tool_use_is_answered_in_the_next_turn_and_only_once() {
    let turns = |asked: Value, given: Value| with_messages(json!([user("Where?"), assistant(asked), user(given)]));
    let use_of = "prompt.messages[1].content";
    let result_of = "prompt.messages[2].content";
    assert!(is_served(&turns(json!([asks("a"), asks("b")]), json!([gives("b"), gives("a"), {"text": "Go on."}]))));
    assert_eq!(path(&turns(json!([asks("a")]), json!("Never mind."))), format!("{use_of}[0].toolUse"));
    assert_eq!(path(&turns(json!([asks("a"), asks("b")]), json!([gives("a")]))), format!("{use_of}[1].toolUse"));
    assert_eq!(
        path(&turns(json!([asks("a"), asks("a")]), json!([gives("a")]))),
        format!("{use_of}[1].toolUse.toolUseId")
    );
    assert_eq!(
        path(&turns(json!([asks("a")]), json!([gives("a"), gives("x")]))),
        format!("{result_of}[1].toolResult.toolUseId")
    );
    assert_eq!(
        path(&turns(json!([asks("a")]), json!([gives("a"), gives("a")]))),
        format!("{result_of}[1].toolResult.toolUseId")
    );
    let last = json!([user("Where?"), assistant(json!([asks("a")]))]);
    assert_eq!(path(&with_messages(last)), "prompt.messages[1].content[0].toolUse");
    let first = json!([user(json!([gives("a")]))]);
    assert_eq!(path(&with_messages(first)), "prompt.messages[0].content[0].toolResult.toolUseId");
}

#[test]
fn results_in_two_messages_of_one_turn_answer_together() {
    let split = json!([
        user("Where?"),
        assistant(json!([asks("a"), asks("b")])),
        user(json!([gives("a")])),
        user(json!([gives("b")]))
    ]);
    assert!(is_served(&with_messages(split)));
}

#[test]
fn a_history_with_tools_needs_the_tools() {
    let mut document = with_messages(json!([user("Where?"), assistant(json!([asks("a")])), user(json!([gives("a")]))]));
    document["prompt"]["tools"] = json!([]);
    let answer = validate(&document);
    let details = json!({"path": "prompt.messages[1].content[0]", "parameter": "tools"});
    assert_eq!(answer["answer"]["error"]["details"], details);
}

#[test]
fn tools_have_names_of_their_own_and_schemas_of_objects() {
    let with_tools = |tools: Value| {
        let mut document = with_messages(json!([user("Hi")]));
        document["prompt"]["tools"] = tools;
        document
    };
    assert_eq!(path(&with_tools(json!([tool("a"), tool("a")]))), "prompt.tools[1].toolSpec.name");
    assert_eq!(path(&with_tools(json!([point("5m")]))), "prompt.tools");
    let schema = |schema: Value| json!([{"toolSpec": {"name": "a", "inputSchema": {"json": schema}}}]);
    assert_eq!(path(&with_tools(schema(json!({"type": "string"})))), "prompt.tools[0].toolSpec.inputSchema.json.type");
    assert_eq!(path(&with_tools(schema(json!({})))), "prompt.tools[0].toolSpec.inputSchema.json.type");
}

#[test]
fn a_turn_has_a_bounded_number_of_files_and_a_text_beside_a_document() {
    let turn = |blocks: Vec<Value>| with_messages(json!([user(blocks)]));
    assert!(is_served(&turn(vec![json!({"text": "Sum up."}), document()])));
    assert_eq!(path(&turn(vec![document()])), "prompt.messages[0].content[0]");
    let mut documents = vec![document(); 6];
    documents.push(json!({"text": "Sum up."}));
    assert_eq!(path(&turn(documents)), "prompt.messages[0].content[5]");
    assert_eq!(path(&turn(vec![image(); 21])), "prompt.messages[0].content[20]");
    let mut named = document();
    named["document"]["name"] = json!("John's report #3.txt");
    assert_eq!(path(&turn(vec![json!({"text": "Sum up."}), named])), "prompt.messages[0].content[1].document.name");
}

#[test]
fn cache_points_are_four_at_most_and_long_ones_come_first() {
    let with_points = |tools: &str, system: &str, message: &str| {
        let mut document = with_messages(json!([user(json!([{"text": "Hi"}, point(message)]))]));
        document["prompt"]["tools"] = json!([tool("find"), point(tools)]);
        document["prompt"]["system"] = json!([{"text": "Be brief."}, point(system)]);
        document
    };
    assert!(is_served(&with_points("1h", "1h", "5m")));
    let charges = validate(&with_points("1h", "5m", "5m"))["request"]["estimate"]["charges"].clone();
    assert_eq!(charges, json!({"cache": "1h"}));
    assert_eq!(path(&with_points("5m", "1h", "5m")), "prompt.system[1].cachePoint.ttl");
    assert_eq!(path(&with_points("1h", "5m", "1h")), "prompt.messages[0].content[1].cachePoint.ttl");
    let five: Vec<Value> = (0..5).flat_map(|_| [json!({"text": "a"}), point("5m")]).collect();
    assert_eq!(path(&with_messages(json!([user(five)]))), "prompt.messages[0].content[9].cachePoint");
}

#[test]
fn stop_sequences_of_white_space_are_refused() {
    let mut document = with_messages(json!([user("Hi")]));
    document["prompt"]["parameters"] = json!({"stop_sequences": ["END", "\n\n"]});
    assert_eq!(path(&document), "prompt.parameters.stop_sequences[1]");
}

#[test]
fn an_optional_field_that_is_empty_is_not_given() {
    for nothing in [json!(null), json!(""), json!([]), json!({})] {
        let mut document = with_messages(json!([user("Hi")]));
        for field in [
            "system",
            "tools",
            "toolChoice",
            "guardrail",
            "serviceTier",
            "reasoning",
            "outputFormat",
            "additionalModelRequestFields",
            "additionalModelResponseFieldPaths",
        ] {
            document["prompt"][field] = nothing.clone();
        }
        for parameter in ["max_tokens", "temperature", "top_p", "top_k", "stop_sequences"] {
            document["prompt"]["parameters"][parameter] = nothing.clone();
        }
        for tag in ["costCenter", "environment", "requestId", "userId"] {
            document["tags"][tag] = nothing.clone();
        }
        let answer = validate(&document);
        assert_eq!(answer["valid"], true, "{answer}");
        let prompt = answer["request"]["prompt"].as_object().unwrap().clone();
        assert_eq!(prompt.keys().collect::<Vec<_>>(), ["messages", "parameters"], "{nothing}");
        assert_eq!(answer["request"]["tags"].get("costCenter"), None);
    }
    let mut document = with_messages(json!([user("Hi")]));
    document["tags"]["applicationId"] = json!(null);
    assert_eq!(path(&document), "tags.applicationId");
}

#[test]
fn tags_may_have_any_letters() {
    let mut document = with_messages(json!([user("Hi")]));
    document["tags"]["costCenter"] = json!("Büro Köln");
    assert_eq!(validate(&document)["request"]["tags"]["costCenter"], "Büro Köln");
    document["tags"]["costCenter"] = json!("Büro\u{7f}");
    assert_eq!(path(&document), "tags.costCenter");
}
