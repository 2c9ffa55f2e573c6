package org.pocketfleet.transport;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.Test;

public class TimingTest {
  private double now = 1_800_000_000.25;

  @Test
  public void theClockFollowsTheServers() {
    ServerClock clock = new ServerClock(() -> now);
    assertEquals("2027-01-15T08:00:00.250000+00:00", clock.timestamp());
    assertFalse(clock.observe(null));
    for (double offset : new double[] {0, 1.9, -1.9}) {
      assertFalse(clock.observe(Instant.ofEpochSecond((int) (now + offset))));
    }
    for (long hours : new long[] {9, -9, 24 * 365 * 20}) {
      Instant server = Instant.ofEpochSecond(1_800_000_000 + 3600 * hours);
      assertTrue(clock.observe(server));
      assertEquals((double) server.getEpochSecond(), clock.now(), 1e-3);
      assertFalse(clock.observe(server));
    }
    now += 10;
    assertEquals(1_800_000_010 + 3600.0 * 24 * 365 * 20, clock.now(), 1e-3);
  }

  @Test
  public void waitsDoubleUpToACapAndAreSpread() {
    Backoff backoff = new Backoff(0, () -> now);
    double[] most = {0.2, 0.4, 0.8, 1.6, 3.2, 5, 5};
    for (double limit : most) {
      double waitS = backoff.failure();
      assertTrue(waitS + " of " + limit, waitS >= limit / 2 && waitS <= limit);
    }
    HashSet<Double> waits = new HashSet<>();
    for (int at = 0; at < 1000; at++) {
      waits.add(backoff.failure());
    }
    assertTrue(waits.size() > 900);
  }

  @Test
  public void itEndsWhenItHasToEnd() {
    Backoff backoff = new Backoff(10, () -> now);
    assertTrue(backoff.failure() > 0);
    now += 9.99;
    double last = backoff.failure();
    assertTrue(last > 0 && last <= 0.011);
    assertEquals(9.99, backoff.elapsedS(), 1e-6);
    now += 0.02;
    assertEquals(Backoff.GIVE_UP, backoff.failure(), 0);
    assertEquals(3, backoff.failures());
  }

  @Test
  public void resultsComeInOrderAndNotTooManyAtOnce() throws Exception {
    for (int number : new int[] {0, 1, 2, 8, 50}) {
      Crew crew = new Crew();
      AtomicInteger busy = new AtomicInteger();
      AtomicInteger most = new AtomicInteger();
      AtomicInteger taken = new AtomicInteger();
      AtomicInteger ahead = new AtomicInteger();
      List<Integer> items = new ArrayList<>();
      for (int at = 0; at < number; at++) {
        items.add(at);
      }
      Crew.Work<Integer, Integer> work =
          item -> {
            most.accumulateAndGet(busy.incrementAndGet(), Math::max);
            ahead.accumulateAndGet(item - taken.get(), Math::max);
            new StopSignal().sleep(0.001 * (double) (item % 3));
            busy.decrementAndGet();
            return item * item;
          };
      try (Crew.Results<Integer, Integer> results = crew.inOrder(work, items, 4)) {
        for (int item : items) {
          assertEquals(Integer.valueOf(item * item), results.next());
          taken.incrementAndGet();
        }
      }
      crew.dismiss();
      assertTrue(most.get() <= 4);
      assertTrue(ahead.get() <= 4);
    }
  }

  @Test
  public void anErrorEndsIt() throws Exception {
    Crew crew = new Crew();
    AtomicInteger done = new AtomicInteger();
    List<Integer> items = new ArrayList<>();
    for (int at = 0; at < 1000; at++) {
      items.add(at);
    }
    Crew.Work<Integer, Integer> work =
        item -> {
          done.incrementAndGet();
          if (item == 3) {
            throw new MessageException("three");
          }
          return item;
        };
    try (Crew.Results<Integer, Integer> results = crew.inOrder(work, items, 4)) {
      for (int at = 0; at < 3; at++) {
        results.next();
      }
      MessageException error = assertThrows(MessageException.class, results::next);
      assertEquals("three", error.getMessage());
    }
    crew.dismiss();
    assertTrue(done.get() < 20);
  }

  @Test
  public void largeObjectsTravelAlone() {
    assertEquals(Crew.MAX_AT_ONCE, Crew.atOnce(0));
    assertEquals(Crew.MAX_AT_ONCE, Crew.atOnce(1000));
    assertEquals(2, Crew.atOnce(2 << 20));
    assertEquals(1, Crew.atOnce(5 << 20));
  }
}
