//! What comes over the engine's socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshreel::service::Request;

fuzz_target!(|text: &str| {
    if let Ok(request) = serde_json::from_str::<Request>(text) {
        let again = serde_json::to_string(&request).expect("it was read");
        assert_eq!(serde_json::from_str::<Request>(&again).expect("it was written"), request);
    }
});
