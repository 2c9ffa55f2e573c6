package org.pocketfleet.training;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import org.junit.Test;
import org.pocketfleet.Stopwatch;

/** The cutoff law, on a clock that moves only with the steps. */
public class CutoffTest {
  private double now;

  private FitResult fit(double cutoffS, double... stepS) throws Exception {
    TrainingCase one = TrainingCase.named("whole");
    now = 100;
    try (Trainer trainer = one.trainer()) {
      return trainer.fit(
          one.data(),
          one.options(1).cutoffSeconds(cutoffS).build(),
          (done, planned) -> {},
          new Stopwatch() {
            private int asked;

            @Override
            public double seconds() {
              // Asked at the start, after preparing, before the first step, then after each.
              int step = asked++ - 3;
              if (step >= 0 && step < stepS.length) {
                now += stepS[step];
              }
              return now;
            }
          });
    }
  }

  @Test
  public void noCutoffTrainsAll() throws Exception {
    FitResult result = fit(0, 1, 1, 1, 1, 1);
    assertEquals(5, result.steps());
    assertEquals(5, result.plannedSteps());
    assertEquals(77, result.examplesProcessed());
    assertEquals(5, result.trainSeconds(), 1e-9);
    assertFalse(result.cutOff());
  }

  @Test
  public void aStepThatWouldEndTooLateIsNotBegun() throws Exception {
    FitResult result = fit(3.5, 1, 1, 1, 1, 1);
    assertEquals(3, result.steps());
    assertEquals(48, result.examplesProcessed());
    assertTrue(result.cutOff());
    assertEquals(4, fit(4, 1, 1, 1, 1, 1).steps());
  }

  @Test
  public void theLongestStepSoFarIsTheMeasure() throws Exception {
    assertEquals(3, fit(4.5, 2, 0.5, 0.5, 0.5, 0.5).steps());
  }

  @Test
  public void theFirstStepIsAlwaysTaken() throws Exception {
    FitResult result = fit(0.001, 10, 10);
    assertEquals(1, result.steps());
    assertEquals(16, result.examplesProcessed());
  }
}
