package org.pocketfleet.app;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.net.ConnectivityManager;
import android.net.Network;
import android.net.NetworkCapabilities;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import org.pocketfleet.energy.BatteryState;
import org.pocketfleet.readiness.Conditions;
import org.pocketfleet.readiness.ReadinessGate;

/** Reads the phone's conditions from Android. */
final class AndroidConditions implements ReadinessGate.Source {
  private final Context context;

  AndroidConditions(Context context) {
    this.context = context.getApplicationContext();
  }

  @Override
  public Conditions read() {
    Conditions.Builder conditions = new Conditions.Builder();
    battery(conditions);
    network(conditions);
    PowerManager power = context.getSystemService(PowerManager.class);
    conditions.interactive(power.isInteractive());
    conditions.batterySaver(power.isPowerSaveMode());
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
      conditions.thermalStatus(thermalStatus(power));
    }
    conditions.freeBytes(context.getFilesDir().getUsableSpace());
    return conditions.build();
  }

  /** How full and how warm the battery is. */
  BatteryState battery() {
    Conditions.Builder conditions = new Conditions.Builder();
    battery(conditions);
    Conditions now = conditions.build();
    return new BatteryState(now.batteryPercent(), now.batteryTemperatureC());
  }

  private void battery(Conditions.Builder conditions) {
    Intent battery = battery(context);
    if (battery == null) {
      return;
    }
    int level = battery.getIntExtra(BatteryManager.EXTRA_LEVEL, -1);
    int scale = battery.getIntExtra(BatteryManager.EXTRA_SCALE, -1);
    if (level >= 0 && scale > 0) {
      conditions.batteryPercent(100.0 * level / scale);
    }
    int tenths = battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Integer.MIN_VALUE);
    if (tenths != Integer.MIN_VALUE) {
      conditions.batteryTemperatureC(tenths / 10.0);
    }
    conditions.charging(powered(battery));
  }

  /** What Android last said about the battery; null: nothing. */
  static Intent battery(Context context) {
    return context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
  }

  /** Whether power comes from outside: also when the battery is full and takes none. */
  static boolean powered(Intent battery) {
    return battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0;
  }

  private void network(Conditions.Builder conditions) {
    ConnectivityManager manager = context.getSystemService(ConnectivityManager.class);
    Network network = manager.getActiveNetwork();
    NetworkCapabilities abilities =
        network == null ? null : manager.getNetworkCapabilities(network);
    // The internet is not asked for: a fleet may be in a network of its own.
    conditions.network(
        abilities != null,
        abilities != null
            && abilities.hasCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED));
  }

  @NewerAndroid(Build.VERSION_CODES.Q)
  private static int thermalStatus(PowerManager power) {
    return power.getCurrentThermalStatus();
  }
}
