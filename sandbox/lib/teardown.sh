# shellcheck shell=bash
reset_after_boot() { :; }
