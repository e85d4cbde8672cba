//! Lane 2: processes that race freely, and the judgement of what they saw.
