package org.pocketfleet.energy;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import org.junit.Test;
import org.pocketfleet.ProcessUse;

public class ModelMeterTest {
  private double wall = 100;
  private double cpu = 7;

  @Test
  public void joulesAreIdleTimeAndBusyCores() {
    ModelMeter meter = new ModelMeter(1.5, 2, "a book", () -> wall, () -> cpu);
    meter.start();
    wall += 10;
    cpu += 15;
    Energy energy = meter.stop();
    assertEquals(15 + 30, energy.grossJ(), 1e-9);
    assertEquals(15, energy.idleJ(), 1e-9);
    assertEquals("modelled", energy.method());
    assertEquals("device", energy.covers());
    assertEquals(1, energy.coverage(), 0);
    assertTrue(Double.isNaN(energy.rateHz()));
    assertEquals("CPU time × 2.0 W per core + 1.5 W idle (a book)", energy.source());
  }

  @Test
  public void withoutCpuTimeThereIsNoFigure() {
    ModelMeter meter = new ModelMeter(1.5, 2, "a book", () -> wall, () -> Double.NaN);
    meter.start();
    assertNull(meter.stop());
  }

  @Test
  public void thisProcessIsSeenToWork() {
    double before = ProcessUse.CPU.seconds();
    double sum = 0;
    while (ProcessUse.CPU.seconds() < before + 0.05) {
      sum += Math.sqrt(sum + 1);
    }
    assertTrue(sum > 0);
    assertTrue(ProcessUse.peakMemoryBytes() > 1 << 20);
  }
}
