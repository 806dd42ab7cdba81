use super::*;
use proptest::prelude::*;

/// Claude Sonnet 4.5 through a `us.` profile, with invented rates for `flex` and `priority`.
const SONNET: &str = r#"{
    "input": "3.30", "output": "16.50", "cacheRead": "0.33", "cacheWrite5m": "4.125", "cacheWrite1h": "6.60",
    "longContext": {"above": 200000, "rates":
        {"input": "6.60", "output": "24.75", "cacheRead": "0.66", "cacheWrite5m": "8.25", "cacheWrite1h": "13.20"}},
    "tiers": {"flex": {"input": "1.65", "output": "8.25"},
              "priority": {"input": "5.775", "output": "28.875", "cacheRead": "0.5775"}}}"#;

fn sonnet() -> Price {
    serde_json::from_str(SONNET).unwrap()
}

fn usage(input: u64, output: u64, cache_read: u64, cache_write: u64) -> TokenUsage {
    TokenUsage { input, output, cache_read, cache_write, ..TokenUsage::default() }
}

fn dollars(text: &str) -> Usd {
    text.parse().unwrap()
}

#[test]
fn the_published_check_value_is_met_exactly() {
    let sonnet_4: Price = serde_json::from_str(
        r#"{"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}"#,
    )
    .unwrap();
    assert_eq!(sonnet_4.cost(&usage(350, 900, 0, 120_000)), Some(dollars("0.46455")));
    assert_eq!(sonnet_4.cost(&usage(350, 900, 120_000, 0)), Some(dollars("0.05055")));
}

#[test]
fn a_price_is_written_as_it_is_read() {
    let written = serde_json::to_value(sonnet()).unwrap();
    assert_eq!(serde_json::from_value::<Price>(written.clone()).unwrap(), sonnet());
    assert_eq!((&written["input"], &written["longContext"]["above"]), (&"3.30".into(), &200_000.into()));
    let plain = serde_json::to_string(&Price::from(sonnet().tiers.flex.unwrap())).unwrap();
    assert_eq!(plain, r#"{"input":"1.65","output":"8.25"}"#);
    for unknown in [r#"{"input": "1", "output": "2", "cacheWrite": "1"}"#, r#"{"input": 3, "output": "15"}"#] {
        assert!(serde_json::from_str::<Price>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn every_token_of_a_long_prompt_costs_its_rate() {
    // 200,000 tokens are not above the threshold of 200,000.
    assert_eq!(sonnet().cost(&usage(100_000, 1_000, 100_000, 0)), Some(dollars("0.3795")));
    // 300,001 x 6.60 + 1,000 x 24.75, in millionths.
    assert_eq!(sonnet().cost(&usage(300_001, 1_000, 0, 0)), Some(dollars("2.0047566")));
    // Cached tokens count toward the length: 150,000 x 6.60 + 50,001 x 0.66.
    assert_eq!(sonnet().cost(&usage(150_000, 0, 50_001, 0)), Some(dollars("1.02300066")));
}

#[test]
fn cache_writes_cost_the_rate_of_their_lifetime() {
    let both = TokenUsage { cache_write_1h: 4_000, ..usage(10, 20, 0, 10_000) };
    // 10 x 3.30 + 20 x 16.50 + 6,000 x 4.125 + 4,000 x 6.60, in millionths.
    assert_eq!(sonnet().cost(&both), Some(dollars("0.051513")));
}

#[test]
fn a_tier_costs_its_own_rates_and_is_unpriced_without_them() {
    let on = |tier| sonnet().cost(&TokenUsage { tier, ..usage(1_000, 1_000, 0, 0) });
    assert_eq!(on(ServiceTier::Priority), Some(dollars("0.03465")));
    assert_eq!(on(ServiceTier::Flex), Some(dollars("0.0099")));
    assert_eq!(on(ServiceTier::Reserved), None);
    let cached = TokenUsage { tier: ServiceTier::Flex, ..usage(0, 0, 1, 0) };
    assert_eq!(sonnet().cost(&cached), None);
    for (tier, priced) in [(ServiceTier::Priority, true), (ServiceTier::Reserved, false)] {
        assert_eq!(sonnet().for_charges(Charges { tier, cache: None }).is_some(), priced);
    }
    let plain = Price { tiers: TierRates::default(), ..sonnet() };
    assert_eq!(plain.for_charges(Charges { tier: ServiceTier::Flex, cache: None }), None);
}

#[test]
fn tokens_of_a_kind_without_a_rate_have_no_cost_and_count_at_the_dearest_rate() {
    let price: Price = serde_json::from_str(r#"{"input": "1", "output": "2"}"#).unwrap();
    assert_eq!(price.cost(&usage(1, 1, 1, 0)), None);
    assert_eq!(price.cost_at_most(&usage(1, 1, 1, 0)), dollars("0.000004"));
    assert_eq!(price.cost_of_many(&usage(1, 1, 1, 0)), dollars("0.000004"));
    assert_eq!(price.cost(&usage(1, 1, 0, 0)), Some(dollars("0.000003")));
}

#[test]
fn the_cache_saves_the_difference_to_the_input_rate_that_applied() {
    let saved = |price: Price, usage: &TokenUsage| price.saved_by_cache(usage).map(|saved| saved.to_string());
    let both = TokenUsage { cache_write_1h: 4_000, ..usage(10, 20, 0, 10_000) };
    let priority = TokenUsage { tier: ServiceTier::Priority, ..usage(10, 20, 1_000, 0) };
    for (usage, expected) in [
        // 100,000 x (3.30 - 0.33), in millionths.
        (usage(50, 900, 100_000, 0), Some("0.297000000")),
        // 100,000 x (3.30 - 4.125).
        (usage(50, 900, 0, 100_000), Some("-0.082500000")),
        // 6,000 x (3.30 - 4.125) + 4,000 x (3.30 - 6.60).
        (both, Some("-0.018150000")),
        // 50,001 x (6.60 - 0.66): the prompt is long.
        (usage(150_000, 0, 50_001, 0), Some("0.297005940")),
        // 1,000 x (5.775 - 0.5775).
        (priority, Some("0.005197500")),
        (usage(50, 900, 0, 0), None),
        (TokenUsage { tier: ServiceTier::Priority, ..usage(0, 0, 1_000, 1) }, None),
        (TokenUsage { tier: ServiceTier::Reserved, ..usage(0, 0, 1, 0) }, None),
    ] {
        assert_eq!(saved(sonnet(), &usage).as_deref(), expected, "{usage:?}");
    }
    // 100,000 x (2.97 - 0.297).
    let net = sonnet().less("10".parse().unwrap());
    assert_eq!(saved(net, &usage(50, 900, 100_000, 0)).as_deref(), Some("0.267300000"));
}

#[test]
fn writes_at_the_input_rate_are_those_of_every_tier_and_length_and_known_rates_stay() {
    let at_input = sonnet().with_writes_at_input();
    assert_eq!((at_input.rates, at_input.long_context), (sonnet().rates, sonnet().long_context));
    let written = |tier| at_input.cost(&TokenUsage { tier, ..usage(0, 0, 0, 1_000) });
    assert_eq!(written(ServiceTier::Flex), Some(dollars("0.00165")));
    assert_eq!(written(ServiceTier::Priority), Some(dollars("0.005775")));
    let plain: Price = serde_json::from_str(
        r#"{"input": "1", "output": "2", "longContext": {"above": 100, "rates": {"input": "3", "output": "4"}}}"#,
    )
    .unwrap();
    let at_input = plain.with_writes_at_input();
    assert_eq!(at_input.cost(&usage(0, 0, 0, 100)), Some(dollars("0.0001")));
    assert_eq!(at_input.cost(&usage(0, 0, 0, 101)), Some(dollars("0.000303")));
    // No source says that a write of an hour costs the same.
    assert_eq!(at_input.cost(&TokenUsage { cache_write_1h: 1, ..usage(0, 0, 0, 1) }), None);
}

#[test]
fn many_calls_together_are_no_long_prompt() {
    assert_eq!(sonnet().cost_of_many(&usage(1_000_000, 0, 0, 0)), dollars("3.30"));
}

#[test]
fn a_hold_has_no_cache_write_that_the_request_cannot_make() {
    let most = |cache| sonnet().most(1_000, 0, Charges { cache, ..Charges::default() });
    assert_eq!(most(None), dollars("0.0033"));
    assert_eq!(most(Some(CacheTtl::FiveMinutes)), dollars("0.004125"));
    assert_eq!(most(Some(CacheTtl::OneHour)), dollars("0.0066"));
}

#[test]
fn a_price_is_net_of_the_discount_in_every_rate_and_says_so() {
    let net = serde_json::to_value(sonnet().less("10".parse().unwrap())).unwrap();
    assert_eq!((&net["input"], &net["discountPercent"]), (&"2.97".into(), &"10".into()));
    assert_eq!(net["longContext"]["rates"]["cacheWrite1h"], "11.88");
    assert_eq!(net["tiers"]["priority"]["output"], "25.9875");
    assert_eq!(sonnet().less(Discount::default()), sonnet());
}

proptest! {
    #[test]
    fn a_hold_is_no_less_than_the_cost_of_any_call_that_it_is_for(
        [input, cache_read, write_5m, write_1h] in prop::array::uniform4(0_u64..200_000),
        output in 0_u64..100_000,
        asked in prop::sample::select(vec![ServiceTier::Default, ServiceTier::Flex, ServiceTier::Priority]),
        downgraded: bool,
    ) {
        let cache = match (write_5m, write_1h) {
            (_, 1..) => Some(CacheTtl::OneHour),
            (1.., 0) => Some(CacheTtl::FiveMinutes),
            (0, 0) => None,
        };
        let tier = if downgraded { ServiceTier::Default } else { asked };
        let call = TokenUsage { input, output, cache_read, cache_write: write_5m + write_1h, cache_write_1h: write_1h, tier };
        let hold = sonnet().most(call.read(), output, Charges { tier: asked, cache });
        prop_assert!(sonnet().cost(&call).unwrap_or_default() <= hold);
    }

    #[test]
    fn a_cost_and_its_saving_are_the_cost_without_a_cache(
        [input, cache_read, write_5m, write_1h] in prop::array::uniform4(prop_oneof![Just(0_u64), 0..100_000_u64]),
        output in 0_u64..100_000,
        tier in prop::sample::select(ServiceTier::ALL),
        percent in 0_u16..100,
    ) {
        let price = sonnet().less(percent.to_string().parse().unwrap());
        let call = TokenUsage { input, output, cache_read, cache_write: write_5m + write_1h, cache_write_1h: write_1h, tier };
        let without = TokenUsage { tier, ..usage(call.read(), output, 0, 0) };
        let expected = price.cost(&call).filter(|_| call.read() > input);
        let expected = expected.zip(price.cost(&without)).map(|(cost, full)| full.minus(cost));
        prop_assert_eq!(price.saved_by_cache(&call), expected);
    }

    #[test]
    fn cost_is_additive_and_never_rounded(a in 0_u64..25_000, b in 0_u64..25_000) {
        let (price, both) = (sonnet(), usage(a + b, a + b, a + b, a + b));
        let parts = price.cost(&usage(a, a, a, a)).unwrap() + price.cost(&usage(b, b, b, b)).unwrap();
        prop_assert_eq!(price.cost(&both).unwrap(), parts);
    }
}
