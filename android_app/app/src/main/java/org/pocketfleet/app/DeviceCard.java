package org.pocketfleet.app;

import android.app.Activity;
import android.content.ClipData;
import android.content.ClipboardManager;
import android.widget.EditText;
import android.widget.TextView;
import android.widget.Toast;
import java.nio.charset.StandardCharsets;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.transport.NodeKeys;

/** Who this phone is to the server. */
final class DeviceCard implements Card {
  private final Activity activity;
  private final EditText name;
  private String publicKey = "";

  DeviceCard(Activity activity) {
    this.activity = activity;
    name = activity.findViewById(R.id.name);
    name.setHint(DeviceFacts.defaultName());
    activity.findViewById(R.id.copy_key).setOnClickListener(view -> copy());
    activity.findViewById(R.id.share_key).setOnClickListener(view -> share());
    // Making a key in hardware takes seconds on some phones.
    new Thread(this::open, "key").start();
  }

  private void open() {
    String fingerprint;
    String place;
    String key;
    try {
      DeviceKey device = DeviceKey.open(activity.getApplicationContext());
      fingerprint = NodeKeys.fingerprint(device.key());
      key = new String(device.key().publicPem(), StandardCharsets.US_ASCII);
      place = device.place();
    } catch (PocketfleetException error) {
      fingerprint = "–";
      key = "";
      place = Words.of(error);
    }
    String shownFingerprint = fingerprint;
    String shownPlace = place;
    String shownKey = key;
    activity.runOnUiThread(
        () -> {
          publicKey = shownKey;
          activity.<TextView>findViewById(R.id.fingerprint).setText(shownFingerprint);
          activity.<TextView>findViewById(R.id.key_place).setText(shownPlace);
        });
  }

  private void copy() {
    activity
        .getSystemService(ClipboardManager.class)
        .setPrimaryClip(ClipData.newPlainText("pocketfleet", publicKey));
    Toast.makeText(activity, R.string.key_copied, Toast.LENGTH_SHORT).show();
  }

  private void share() {
    Share.text(activity, publicKey);
  }

  @Override
  public void show(Settings settings, Status status) {
    if (!name.hasFocus() && !name.getText().toString().equals(settings.name)) {
      name.setText(settings.name);
    }
  }

  @Override
  public void collect(Settings.Builder settings) {
    settings.name = name.getText().toString().trim();
  }
}
