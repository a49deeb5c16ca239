/* One process of the proof of determinism: histories are run again by workers whose caches forget, whose
 * memory moves and collects at random points, and who are asked at random; the digest of every command must
 * be the same each time. Other processes (other hash seeds, malloc, CPU features, locale, time zone) must
 * print the same lines: spec/replay/determinism_spec.lua compares them. */
#pragma once

/* Arguments: see usage() in determinism.c. Returns the exit status. */
int sim_determinism(int argc, char **argv);
