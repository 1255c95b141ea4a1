// The page in the order of its sections.

function drawHead() {
  document.title = `${data.pattern}: flexjit report`;
  document.getElementById('pattern').textContent = data.pattern.replace(/^.*[/]/, '');
  const s = data.sizes;
  document.getElementById('call').textContent = `${data.pattern}; batch ${s.batch}, ${plural(s.heads, 'head')}, ${
      plural(s.kv_heads, 'key head')}, ${number(s.q_len)} queries, ${number(s.kv_len)} keys, head dims ${s.head_dim} and ${
      s.v_head_dim}; target ${views.plan.json.target}`;
  const {roofline, mask, spills, timing} = views;
  const spilled = spills.blocks.filter((block) => block.loop_depth > 0).reduce((sum, block) => sum + block.spills, 0);
  const facts = [
    roofline.measured_ms === undefined ? null : ['measured, one thread', `${brief(roofline.measured_ms)} ms`],
    roofline.measured_ms === undefined ? null : ['of the machine\'s peak', `${number(roofline.measured_percent_of_peak, 1)} %`],
    roofline.predicted_cycles > 0 ? ['by the model', `${number(roofline.predicted_percent_of_peak, 1)} %`] : null,
    ['of the blocks are empty', `${number(mask.sparsity, 1)} %`], ['to compile', `${number(timing.total_ms, 1)} ms`],
    ['spills in loops', number(spilled)]
  ];
  const list = document.getElementById('facts');
  for (const fact of facts)
    if (fact !== null) list.append(make('li', {}, make('b', {}, fact[1]), ' ', make('span', {}, fact[0])));
}

drawHead();
drawSource();
drawMask();
drawRoofline();
drawAssembly();
drawModel();
drawSpills();
drawPlan();
drawTiming();
drawTexts();
connect();
document.getElementById('not-drawn').remove();
