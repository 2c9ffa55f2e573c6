package org.pocketfleet.app;

/** A part of the screen. */
interface Card {
  /** Shows what is so now. */
  void show(Settings settings, Status status);

  /** Takes over what the person has typed or switched. */
  default void collect(Settings.Builder settings) {}
}
