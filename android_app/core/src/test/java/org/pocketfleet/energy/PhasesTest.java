package org.pocketfleet.energy;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

/** Phases of a device that uses two watts, one of them idle. */
public class PhasesTest {
  private double now;
  private String method = "battery";
  private boolean broken;
  private int running;

  private final EnergyMeter meter =
      new EnergyMeter() {
        private double start;

        @Override
        public void start() {
          running++;
          start = now;
        }

        @Override
        public Energy stop() {
          running--;
          double seconds = now - start;
          return broken
              ? null
              : new Energy(2 * seconds, seconds, method, "a gauge", "device")
                  .sampled(seconds, seconds / 10)
                  .flagged("odd");
        }
      };

  private final Phases phases = new Phases(meter, () -> now);

  private void spend(String phase, double seconds) {
    phases.enter(phase);
    now += seconds;
  }

  @Test
  public void everyPhaseHasItsOwnJoules() {
    spend(Phases.WAIT, 3);
    spend(Phases.DOWNLOAD, 1);
    spend(Phases.NONE, 50);
    spend(Phases.TRAIN, 7);
    phases.enter(Phases.NONE);
    assertEquals(6, phases.take(Phases.WAIT).grossJ(), 1e-9);
    assertEquals(2, phases.take(Phases.DOWNLOAD).grossJ(), 1e-9);
    assertEquals(14, phases.take(Phases.TRAIN).grossJ(), 1e-9);
    assertEquals("nothing is measured in between", 0, running);
    assertNull("taken already", phases.take(Phases.TRAIN));
    assertNull("never entered", phases.take(Phases.UPLOAD));
  }

  @Test
  public void waitingAddsUpOthersBeginAnew() {
    for (int task = 0; task < 2; task++) {
      spend(Phases.WAIT, 1 + 2 * task);
      phases.enter(Phases.WAIT);
      spend(Phases.DOWNLOAD, 5);
    }
    phases.enter(Phases.NONE);
    Energy wait = phases.take(Phases.WAIT);
    assertEquals(8, wait.grossJ(), 1e-9);
    assertEquals(4, wait.idleJ(), 1e-9);
    assertEquals("weighted by seconds", 0.25 * 1 + 0.75 * 3, wait.rateHz(), 1e-9);
    assertEquals(0.25 * 0.1 + 0.75 * 0.3, wait.coverage(), 1e-9);
    assertEquals("[odd]", wait.flags().toString());
    assertEquals(10, phases.take(Phases.DOWNLOAD).grossJ(), 1e-9);
  }

  @Test
  public void sumsWithHolesAreNoFigures() {
    spend(Phases.WAIT, 1);
    spend(Phases.UPLOAD, 1);
    broken = true;
    spend(Phases.WAIT, 1);
    spend(Phases.DOWNLOAD, 1);
    assertNull(phases.take(Phases.WAIT));
    broken = false;
    spend(Phases.WAIT, 1);
    phases.enter(Phases.NONE);
    method = "modelled";
    spend(Phases.WAIT, 1);
    phases.enter(Phases.NONE);
    assertNull("of two methods", phases.take(Phases.WAIT));
  }

  @Test
  public void withoutMeterNothingIsKnown() {
    Phases unmetered = new Phases(null);
    unmetered.enter(Phases.TRAIN);
    unmetered.enter(Phases.NONE);
    assertNull(unmetered.take(Phases.TRAIN));
    assertFalse(unmetered.metered());
    assertTrue(phases.metered());
  }
}
