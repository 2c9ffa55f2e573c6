package org.pocketfleet.app;

import android.content.Context;
import android.content.Intent;
import android.os.BatteryManager;
import android.os.SystemClock;
import org.pocketfleet.energy.BatterySample;
import org.pocketfleet.energy.BatterySensor;

/** The phone's battery gauge. */
final class AndroidBattery implements BatterySensor {
  /** Gauges give a new figure every 0.25 to 10 seconds. */
  static final long PERIOD_MS = 500;

  private final Context context;
  private final BatteryManager manager;

  AndroidBattery(Context context) {
    this.context = context.getApplicationContext();
    this.manager = context.getSystemService(BatteryManager.class);
  }

  @Override
  public BatterySample read() {
    Intent battery = AndroidConditions.battery(context);
    int millivolts = battery == null ? 0 : battery.getIntExtra(BatteryManager.EXTRA_VOLTAGE, 0);
    return new BatterySample(
        SystemClock.elapsedRealtimeNanos(),
        manager.getIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW),
        // Some phones give volts.
        millivolts > 0 && millivolts < 10 ? millivolts * 1000 : millivolts,
        manager.getIntProperty(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER),
        battery != null && AndroidConditions.powered(battery));
  }
}
