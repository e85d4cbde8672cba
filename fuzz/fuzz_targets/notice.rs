#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchfile_file::fuzzing::notice(data));
