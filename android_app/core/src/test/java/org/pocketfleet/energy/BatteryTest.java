package org.pocketfleet.energy;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.Test;
import org.pocketfleet.energy.CurrentCalibration.Basis;

/** Gauges as phones really have them: other units, other signs, silent, stuck, charging. */
public class BatteryTest {
  private static final long NONE = BatterySample.ABSENT;
  private static final double VOLTS = 4.0;

  /** One reading a second of a phone that draws 0.5 A, 0.6 A, 0.5 A, … at 4 V. */
  private static List<BatterySample> gauge(
      int seconds, double unitsPerAmpere, double counterPerMicroampereHour, boolean charging) {
    List<BatterySample> samples = new ArrayList<>();
    double usedMicroampereHours = 0;
    for (int i = 0; i <= seconds; i++) {
      double amperes = i % 2 == 0 ? 0.5 : 0.6;
      usedMicroampereHours = i * 0.55e6 / 3600;
      long counter =
          counterPerMicroampereHour == 0
              ? NONE
              : (long) ((3e6 - usedMicroampereHours) * counterPerMicroampereHour);
      samples.add(sample(i, Math.round(amperes * unitsPerAmpere), counter, charging));
    }
    return samples;
  }

  private static BatterySample sample(double second, long current, long counter, boolean charging) {
    return new BatterySample(
        (long) (second * 1e9), current, (int) (VOLTS * 1000), counter, charging);
  }

  private static BatteryFigure figure(List<BatterySample> samples) {
    return BatteryFigure.of(samples, CurrentCalibration.of(samples), Double.NaN);
  }

  @Test
  public void unitsAndSignsOfAllKindsGiveTheSameJoules() {
    double expected = 0.55 * VOLTS * 60;
    for (double unitsPerAmpere : new double[] {1e6, -1e6, 1e3, -1e3}) {
      for (double counter : new double[] {0, 1}) {
        BatteryFigure figure = figure(gauge(60, unitsPerAmpere, counter, false));
        assertNull(figure.problem());
        assertEquals(expected, figure.energy().grossJ(), 1e-6);
        assertTrue(Double.isNaN(figure.energy().idleJ()));
        assertEquals("battery", figure.energy().method());
        assertEquals("device", figure.energy().covers());
        assertEquals(1.0, figure.energy().rateHz(), 0.02);
        assertEquals(1.0, figure.energy().coverage(), 1e-9);
        assertTrue(figure.energy().flags().isEmpty());
        String source = figure.energy().source();
        assertTrue(source, source.contains("1.0 Hz, coverage 100 %"));
        assertTrue(source, source.contains(Math.abs(unitsPerAmpere) == 1e6 ? "µA" : "mA"));
        assertTrue(source, source.endsWith(counter == 0 ? "fair (the unit is assumed)" : "good"));
      }
    }
  }

  @Test
  public void counterThatFitsNeitherUnitGivesNoFigure() {
    List<BatterySample> samples = gauge(60, 1e6, 8, false);
    assertEquals(Basis.CONTRADICTED, CurrentCalibration.of(samples).basis());
    assertNull(figure(samples).energy());
    assertTrue(figure(samples).problem().contains("charge counter"));
  }

  @Test
  public void counterIsComparedOnlyWhereReadingsFollowEachOther() {
    // Three stretches of 60 s with an hour of sleep in between, in which the counter went on
    // falling.
    List<BatterySample> samples = new ArrayList<>();
    for (int stretch = 0; stretch < 3; stretch++) {
      for (BatterySample sample : gauge(60, 1e6, 1, false)) {
        samples.add(
            sample(
                sample.timeNs() / 1e9 + stretch * 3600,
                sample.current(),
                sample.chargeCounter() - stretch * 100_000L,
                false));
      }
    }
    assertEquals(Basis.CONFIRMED, CurrentCalibration.of(samples).basis());
  }

  @Test
  public void silentGaugesGiveNoFigure() {
    for (long current : new long[] {0, NONE, Long.MIN_VALUE}) {
      List<BatterySample> samples = new ArrayList<>();
      for (int i = 0; i <= 20; i++) {
        samples.add(sample(i, current, NONE, false));
      }
      assertNull(figure(samples).energy());
      assertEquals("the battery's gauge gives no current", figure(samples).problem());
    }
  }

  @Test
  public void stuckGaugeGivesNoFigure() {
    List<BatterySample> samples = new ArrayList<>();
    for (int i = 0; i <= 20; i++) {
      samples.add(sample(i, -412_000, NONE, false));
    }
    assertNull(figure(samples).energy());
    assertEquals("the battery's gauge is stuck at -412000", figure(samples).problem());
  }

  @Test
  public void slowGaugeIsFlagged() {
    List<BatterySample> samples = new ArrayList<>();
    for (int i = 0; i <= 60; i++) {
      samples.add(sample(i, -400_000 - 1000L * (i / 15), NONE, false));
    }
    assertTrue(figure(samples).energy().source().contains("poor"));
    assertEquals(
        "[the gauge is slow: most readings repeat the one before]",
        figure(samples).energy().flags().toString());
  }

  @Test
  public void chargingIsLeftOut() {
    assertNull(figure(gauge(60, 1e6, 0, true)).energy());
    List<BatterySample> samples = gauge(100, -1e6, 0, false);
    // Plugged in for a moment: the rest still stands for 96 % of the time.
    samples.set(50, sample(50, 900_000, NONE, true));
    samples.set(51, sample(51, 900_000, NONE, true));
    BatteryFigure figure = figure(samples);
    assertEquals(97 * 0.55 * VOLTS, figure.energy().grossJ(), 0.5);
    assertTrue(figure.energy().source().contains("coverage 97 %"));
    assertEquals(0.97, figure.energy().coverage(), 1e-9);
    assertEquals(
        "[power came from outside for a while, readings cover 97 % of the interval]",
        figure.energy().flags().toString());
    for (int i = 20; i < 60; i++) {
      samples.set(i, sample(i, 900_000, NONE, true));
    }
    assertNull(figure(samples).energy());
    assertTrue(figure(samples).problem().contains("charging"));
  }

  @Test
  public void currentThatFlowsBackIsNoConsumption() {
    // A gauge that says "discharging" while the charger delivers: the sign gives it away.
    List<BatterySample> samples = gauge(100, -1e6, 0, false);
    for (int i = 30; i < 60; i++) {
      samples.set(i, sample(i, 900_000, NONE, false));
    }
    assertNull(figure(samples).energy());
    assertTrue(figure(samples).problem().contains("cover only"));
  }

  @Test
  public void overflowsAndVoltagesOfNoPhoneAreNoReadings() {
    List<BatterySample> samples = gauge(100, -1e6, 0, false);
    samples.set(30, sample(30, Integer.MAX_VALUE, NONE, false));
    samples.set(60, new BatterySample(60_000_000_000L, -500_000, 4_000_000, NONE, false));
    samples.set(80, new BatterySample(80_000_000_000L, -500_000, 4, NONE, false));
    BatteryFigure figure = figure(samples);
    assertEquals(94 * 0.55 * VOLTS, figure.energy().grossJ(), 0.5);
    assertEquals(0.94, figure.energy().coverage(), 1e-9);
  }

  @Test
  public void oneSlipDoesNotDecideTheUnit() {
    // The mean of these would be taken for µA, and the phone for one of a few milliwatts.
    List<BatterySample> samples = gauge(100, -1e3, 0, false);
    samples.set(30, sample(30, Integer.MAX_VALUE, NONE, false));
    assertEquals(98 * 0.55 * VOLTS, figure(samples).energy().grossJ(), 0.5);
    assertTrue(figure(samples).energy().source().contains("mA"));
  }

  @Test
  public void unitThatChangesGivesNoFigure() {
    List<BatterySample> samples = gauge(100, -1e6, 0, false);
    for (int i = 95; i <= 100; i++) {
      samples.set(i, sample(i, -500 - i, NONE, false));
    }
    assertNull(figure(samples).energy());
    assertEquals("the battery's gauge changed its unit", figure(samples).problem());
    assertTrue(figure(samples).unitChanged());
  }

  @Test
  public void shortIntervalsAreLeftToOthers() {
    assertEquals(
        "the interval is too short for the battery's gauge",
        figure(gauge(1, 1e6, 0, false)).problem());
  }

  @Test
  public void idleShareIsTheMedianPowerBeforehand() throws Exception {
    Ticks ticks = new Ticks();
    boolean[] charging = {false};
    boolean[] busy = {false};
    BatteryMeter meter =
        new BatteryMeter(
            () -> {
              long i = ticks.next();
              return sample((double) i, (busy[0] ? -800_000 : -200_000) - i, NONE, charging[0]);
            },
            1);
    meter.measureIdle(0.02, () -> false);
    assertEquals(21, ticks.taken());
    busy[0] = true;
    Energy energy = ticks.interval(meter);
    double seconds = energy.coverage() * (energy.grossJ() / (0.8 * VOLTS));
    assertEquals(0.2 * VOLTS * seconds, energy.idleJ(), 0.02 * energy.idleJ());
    charging[0] = true;
    long before = ticks.taken();
    meter.measureIdle(60, () -> false);
    assertEquals("a charging phone is not waited for", before + 1, ticks.taken());
    charging[0] = false;
    assertTrue(Double.isNaN(ticks.interval(meter).idleJ()));
    before = ticks.taken();
    meter.measureIdle(60, () -> true);
    assertEquals("nor is one that is to leave", before + 1, ticks.taken());
  }

  /**
   * Counts readings, and holds a meter's thread back until more are granted: how many it takes must
   * not depend on how busy the machine is.
   */
  private static final class Ticks {
    private final Thread test = Thread.currentThread();
    private final Semaphore granted = new Semaphore(0);
    private final AtomicLong taken = new AtomicLong();

    /** The number of this reading. */
    long next() {
      if (Thread.currentThread() != test) {
        try {
          granted.acquire();
        } catch (InterruptedException stopped) {
          Thread.currentThread().interrupt();
        }
      }
      return taken.getAndIncrement();
    }

    long taken() {
      return taken.get();
    }

    /** Has a meter measure for 20 readings or so. */
    Energy interval(EnergyMeter meter) throws Exception {
      long before = taken();
      meter.start();
      granted.release(19);
      while (taken() < before + 20) {
        Thread.sleep(1);
      }
      return meter.stop();
    }
  }

  @Test
  public void afterChangeOfUnitTheGaugeIsLearnedAnew() throws Exception {
    Ticks ticks = new Ticks();
    long[] unit = {1000};
    BatteryMeter meter =
        new BatteryMeter(
            () -> {
              long i = ticks.next();
              return sample((double) i, -unit[0] * (500 + i % 7), NONE, false);
            },
            1);
    // Two intervals: one has a reading more or less than another, and the unit is what most are in.
    assertNotNull(ticks.interval(meter));
    assertTrue(ticks.interval(meter).source().contains("µA"));
    unit[0] = 1;
    assertNull(ticks.interval(meter));
    assertEquals("the battery's gauge changed its unit", meter.problem());
    assertTrue(ticks.interval(meter).source().contains("mA"));
  }

  @Test
  public void gapsAreNotFilled() {
    List<BatterySample> samples = gauge(100, 1e6, 0, false);
    samples.subList(40, 80).clear();
    assertNull(figure(samples).energy());
  }

  @Test
  public void trapezoidFollowsTheRealTimes() {
    EnergyIntegrator integrator = new EnergyIntegrator(5);
    integrator.add(0, 1);
    integrator.add(2, 3);
    integrator.add(2, 100);
    integrator.add(1.5, 100);
    integrator.add(2.5, 3);
    integrator.add(3.5, Double.NaN);
    integrator.add(4, 1);
    integrator.add(5, 1);
    integrator.add(11, 1);
    assertEquals(4 + 1.5 + 1, integrator.joules(), 1e-12);
    assertEquals(3.5, integrator.coveredS(), 1e-12);
  }

  @Test
  public void meterReadsFromItsOwnThread() throws Exception {
    Ticks ticks = new Ticks();
    BatteryMeter meter =
        new BatteryMeter(
            () -> {
              long i = ticks.next();
              return sample((double) i, -500_000 - i, NONE, false);
            },
            1);
    for (int interval = 0; interval < 2; interval++) {
      long before = ticks.taken();
      Energy energy = ticks.interval(meter);
      assertNull(meter.problem());
      // The clock of these samples goes one second a reading.
      assertEquals((ticks.taken() - 1 - before) * 0.5 * VOLTS, energy.grossJ(), 1);
    }
    long after = ticks.taken();
    ticks.granted.release(100);
    Thread.sleep(20);
    assertEquals("the thread has ended", after, ticks.taken());
  }

  @Test
  public void batteryIsBelievedWhereItHasFigure() throws Exception {
    Ticks ticks = new Ticks();
    boolean[] charging = {false};
    BatterySensor sensor =
        () -> {
          long i = ticks.next();
          return sample((double) i, -500_000 - i, NONE, charging[0]);
        };
    Energy modelled = new Energy(2, 1, "modelled", "a model", "device");
    assertEquals("battery", measure(sensor, ticks, modelled).method());
    charging[0] = true;
    Energy energy = measure(sensor, ticks, modelled);
    assertEquals("modelled", energy.method());
    assertEquals(2, energy.grossJ(), 0);
    assertEquals("a model", energy.source());
    assertEquals(
        "[not the battery: the device was charging, so the battery does not show what it used]",
        energy.flags().toString());
    assertNull(measure(sensor, ticks, null));
  }

  private static Energy measure(BatterySensor sensor, Ticks ticks, Energy other) throws Exception {
    EnergyMeter meter =
        new BatteryOr(
            new BatteryMeter(sensor, 1),
            new EnergyMeter() {
              @Override
              public void start() {}

              @Override
              public Energy stop() {
                return other;
              }
            });
    return ticks.interval(meter);
  }
}
