package org.pocketfleet.training;

/** Hears of every training step, on the thread that trains. It should not linger. */
public interface StepListener {
  /** A step is done: {@code done} of {@code planned}. */
  void step(int done, int planned);
}
