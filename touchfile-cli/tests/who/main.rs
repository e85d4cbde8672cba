//! `touchfile who`, with locks of several programs.
#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod file_systems;
mod holders;
mod machine;
#[path = "../mounts/mod.rs"]
mod mounts;
mod strangers;
#[allow(dead_code, reason = "it is for several test programs")]
#[path = "../run/support.rs"]
mod support;
mod terminal;
#[path = "../trials/mod.rs"]
mod trials;
mod waiters;
mod who;

fn main() {
    trials::run![
        answers::a_table_names_the_holder_and_the_status_says_that_there_is_one,
        answers::nobody_is_an_answer_and_a_status,
        answers::one_of_several_that_is_held_is_enough,
        answers::a_file_that_cannot_be_looked_at_is_one_line_and_the_others_are_looked_at,
        answers::wrong_usage_is_64,
        answers::looking_takes_no_lock_and_opens_nothing_that_could_wait,
        answers::names_that_are_not_text_work,
        answers::a_reader_that_goes_away_ends_it_without_a_word,
        file_systems::holders_are_found_on_btrfs_and_its_subvolumes,
        file_systems::holders_are_found_on_ext4,
        file_systems::holders_are_found_on_overlayfs_in_each_layer,
        file_systems::holders_are_found_on_tmpfs,
        file_systems::holders_are_found_on_xfs,
        holders::a_lock_of_each_kind_is_told_with_its_mode_and_its_process,
        holders::locks_of_different_kinds_and_ranges_are_told_together,
        holders::whoever_is_blocked_is_told_as_waiting,
        holders::a_lock_of_flock_is_that_of_all_who_inherited_it,
        machine::without_a_path_every_locked_file_is_told,
        machine::a_process_is_told_with_what_it_holds_and_waits_for,
        machine::a_table_without_heads_has_rows_alone,
        machine::a_file_that_only_strangers_have_open_is_told_by_its_number,
        strangers::what_may_not_be_seen_is_said_to_be_unknown,
        strangers::a_process_outside_of_our_pid_namespace_has_no_number,
        strangers::what_was_inherited_into_a_pid_namespace_is_found_in_it,
        waiters::waiters_of_touchfile_are_told_in_the_order_in_which_they_began,
        waiters::each_waiter_is_told_once_beside_those_that_the_kernel_lists,
        waiters::without_a_path_the_waiters_of_each_file_are_told,
        waiters::on_file_systems_with_other_numbers_waiters_are_told_too,
        waiters::what_a_process_tells_of_others_is_not_believed,
        waiters::who_has_no_right_on_the_file_is_not_heard,
        waiters::a_file_with_the_same_number_elsewhere_is_another_file,
        waiters::a_file_on_a_disk_that_is_named_like_a_notice_is_none,
        waiters::a_notice_that_another_user_has_sent_is_not_believed,
        waiters::a_process_is_heard_64_times_and_shown_without_control_characters,
        terminal::it_redraws_what_it_sees_until_ctrl_c,
        terminal::whoever_wants_no_colours_gets_none,
        terminal::elsewhere_each_look_is_a_table_or_a_line_of_json,
    ];
}
