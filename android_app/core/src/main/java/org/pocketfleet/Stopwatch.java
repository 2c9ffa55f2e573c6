package org.pocketfleet;

/** Seconds that never go back, from some moment on. */
public interface Stopwatch {
  /** The wall's time, as far as it passes. */
  Stopwatch WALL = () -> System.nanoTime() / 1e9;

  /** Seconds now. */
  double seconds();
}
