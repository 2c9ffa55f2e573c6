package org.pocketfleet.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.util.HashSet;
import java.util.Set;
import org.junit.Test;

public class AdaptivePollTest {
  private double now;

  @Test
  public void waitsFollowTheTimeSinceSomethingHappened() {
    now = 100;
    AdaptivePoll poll = new AdaptivePoll(0.05, 5, () -> now);
    double[][] cases = {{0, 0.05}, {0.4, 0.05}, {1, 0.1}, {30, 3}, {3600, 5}};
    for (double[] each : cases) {
      now = 100 + each[0];
      Set<Double> waits = new HashSet<>();
      for (int at = 0; at < 50; at++) {
        double waitS = poll.waitS();
        assertTrue(waitS > 0.79 * each[1] && waitS < 1.21 * each[1]);
        waits.add(waitS);
      }
      assertEquals(50, waits.size());
    }
    poll.active();
    assertTrue(poll.waitS() < 0.07);
  }

  @Test
  public void aPhoneOnBatteryMayAskRarely() {
    AdaptivePoll poll = new AdaptivePoll(0.05, 900, () -> now);
    now = 1800;
    assertTrue(Math.abs(poll.waitS() - 180) < 37);
    now = 1e6;
    assertTrue(Math.abs(poll.waitS() - 900) < 181);
  }
}
